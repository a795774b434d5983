"""`teamaccess findings`: what went round us or does not fit, and that an operator has looked at it."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from teamaccess.cli.connected import AsJson, connected, operator, tell
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.delivery.status import OpenFindings
from teamaccess.directory.organizations import findings
from teamaccess.directory.organizations.findings import (
    MOST_LISTED,
    newest_findings,
)
from teamaccess.directory.schemas.apply import refuse_while_foreign
from teamaccess.service import Service
from teamaccess.storage import Finding, FindingKind

app = typer.Typer(add_completion=False, no_args_is_help=True)

LARGEST_ID = 2**63 - 1
MOST_NAMED = 3
"""Organizations that a summary names."""
MOST_SHOWN = 10
"""Updates of a finding that are printed; --json has all that were kept."""


class Words(NamedTuple):
    """How a kind of findings is spoken of, and what is done about one."""

    one: str
    several: str
    look: str
    """The command that tells more."""
    mend: str


WORDS = {
    FindingKind.FOREIGN_WRITE: Words(
        "foreign write",
        "foreign writes",
        "teamaccess findings list",
        "teamaccess findings resolve {id} --reason TEXT",
    ),
    FindingKind.DRIFT: Words(
        "drift",
        "drifts",
        "teamaccess reconcile",
        "teamaccess reconcile --organization {organization} --apply",
    ),
    FindingKind.FOREIGN_SCHEMA: Words(
        "foreign schema",
        "foreign schemas",
        "teamaccess findings list",
        "teamaccess schema apply; review what was decided meanwhile; "
        "teamaccess findings resolve {id} --reason TEXT",
    ),
    FindingKind.OTHER_HISTORY: Words(
        "other history",
        "other histories",
        "teamaccess reconcile --rebuild",
        "teamaccess reconcile --organization {organization} --rebuild",
    ),
}


@app.callback()
def commands() -> None:
    """Look through what was found, and say that you have."""


@app.command("list")
def list_findings(
    organization: Annotated[str | None, typer.Option(help="About this one alone.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The resolved ones, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what is open, the newest first: what was found where, and what to do about it."""

    async def look(service: Service) -> Sequence[Finding]:
        async with service.reads() as session:
            return await newest_findings(session, organization, resolved=everything)

    found = connected(look)
    about = f" about {organization}" if organization else ""
    nothing = f"Nothing was found{about}." if everything else f"No finding is open{about}."
    tell(as_json, _listed(found) or nothing, findings=list(map(_facts, found)))


@app.command("resolve")
def resolve_findings(
    ids: Annotated[
        list[int],
        typer.Argument(metavar="ID...", min=1, max=LARGEST_ID, help="As `list` numbers them."),
    ],
    reason: Annotated[str, typer.Option(help="What came of it; kept for the auditor.")],
    as_json: AsJson = False,
) -> None:
    """Close foreign writes that you have looked at. It undoes nothing: `reconcile --apply` does.

    Other findings close by themselves, as soon as a comparison finds that it is no longer so.
    """
    why = clean("reason", reason, LONGEST_REASON)

    async def close(service: Service) -> Sequence[Finding]:
        async with service.ledger.change(operator()) as change:
            await refuse_while_foreign(change.session, service.engine, set(ids))
            found = await findings.resolve_findings(change, set(ids), why)
            await service.ledger.commit(change)
        return found

    resolved = connected(close)
    tell(as_json, "\n".join(map(_closed, resolved)), resolved=list(map(_facts, resolved)))


def sum_up(found: OpenFindings) -> str:
    """Return how many of a kind are open and where, with the next step."""
    words = WORDS[found.kind]
    what = words.one if found.count == 1 else words.several
    where = ", ".join(found.organizations[:MOST_NAMED])
    if (others := found.concerned - MOST_NAMED) > 0:
        where += f" and {others} more"
    return f"{found.count} {what} in {where}: {words.look}"


def _listed(found: Sequence[Finding]) -> str:
    lines = [line for finding in found for line in _lines(finding)]
    if len(found) == MOST_LISTED:
        lines.append(f"These are the newest {MOST_LISTED}.")
    return "\n".join(lines)


def _lines(finding: Finding) -> Iterator[str]:
    words = WORDS[FindingKind(finding.kind)]
    yield f"{finding.id}  {finding.found_at:%Y-%m-%d %H:%M:%S}Z  {_what(finding)}"
    yield from (f"   {line}" for line in _told(finding.details))
    if finding.resolved_at is None:
        next_step = words.mend.format(id=finding.id, organization=finding.organization_id)
        yield f"   Next: {next_step}"
    else:
        by = f" by {finding.resolved_by}" if finding.resolved_by else ", it is no longer so"
        yield f"   Resolved {finding.resolved_at:%Y-%m-%d %H:%M:%S}Z{by}"


def _told(details: dict[str, Any]) -> Iterator[str]:
    """What it consists of. What a stranger says of itself is escaped: it may be any text."""
    if updates := details.get("updates"):
        yield from updates[:MOST_SHOWN]
        if (more := details["count"] - MOST_SHOWN) > 0:
            yield f"and {more} more"
    if differences := details.get("differences"):
        yield f"It differs from the recorded schema: {', '.join(differences)}"
        yield "No change may give access anywhere until this finding is resolved."
    if says := details.get("metadata"):
        yield f"It says of itself: {json.dumps(says)}"
    if counts := details.get("counts"):
        yield ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _closed(finding: Finding) -> str:
    return (
        f"{finding.id} ({_what(finding)}) is resolved. Whether it left anything: "
        f"teamaccess reconcile --organization {finding.organization_id}"
    )


def _what(finding: Finding) -> str:
    return f"{WORDS[FindingKind(finding.kind)].one} in {finding.organization_id}"


def _facts(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "kind": finding.kind,
        "organization": finding.organization_id,
        "found_at": finding.found_at,
        "resolved_at": finding.resolved_at,
        "resolved_by": finding.resolved_by,
        "details": finding.details,
    }
