"""`teamaccess findings`: list differences and writes that bypass the ledger, and resolve them."""

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from teamaccess.cli.with_service import AsJson, operator_attribution, print_result, with_service
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
"""How many organizations a summary names."""
LONGEST_NAME = 1024
"""SpiceDB's ids have no more characters, so no organization has a longer name."""
MOST_SHOWN = 10
"""How many updates of a finding are printed. --json prints all that were kept."""


class KindTexts(NamedTuple):
    """The texts for a kind of findings."""

    singular: str
    plural: str
    inspect: str
    """The command that shows more."""
    repair: str
    """The commands that repair and close one finding."""


KIND_TEXTS: dict[str, KindTexts] = {
    FindingKind.FOREIGN_WRITE: KindTexts(
        "foreign write",
        "foreign writes",
        "teamaccess findings list",
        "teamaccess findings resolve {id} --reason TEXT",
    ),
    FindingKind.DRIFT: KindTexts(
        "drift",
        "drifts",
        "teamaccess reconcile",
        "teamaccess reconcile --organization {organization} --apply",
    ),
    FindingKind.FOREIGN_SCHEMA: KindTexts(
        "foreign schema",
        "foreign schemas",
        "teamaccess findings list",
        "teamaccess schema apply; review the changes made in the meantime; "
        "teamaccess findings resolve {id} --reason TEXT",
    ),
    FindingKind.UNWATCHED: KindTexts(
        "unwatched time",
        "unwatched times",
        "teamaccess findings list",
        "teamaccess reconcile; teamaccess findings resolve {id} --reason TEXT",
    ),
    FindingKind.OTHER_HISTORY: KindTexts(
        "other history",
        "other histories",
        "teamaccess reconcile --rebuild",
        "teamaccess reconcile --organization {organization} --rebuild",
    ),
}

OTHER_TEXTS = KindTexts(
    "finding of an unknown kind",
    "findings of an unknown kind",
    "teamaccess findings list",
    "update teamaccess, because another version recorded it",
)


@app.callback()
def commands() -> None:
    """List findings, and resolve those that you have looked at."""


@app.command("list")
def list_findings(
    organization: Annotated[str | None, typer.Option(help="Only of this organization.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="List resolved ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List open findings, the newest first, with the next step for each."""

    async def look(service: Service) -> Sequence[Finding]:
        async with service.reads() as session:
            return await newest_findings(session, organization, resolved=everything)

    found = with_service(look)
    about = f" about {organization}" if organization else ""
    none = f"There are no findings{about}." if everything else f"There are no open findings{about}."
    print_result(as_json, _listing(found) or none, findings=list(map(_facts, found)))


@app.command("resolve")
def resolve_findings(
    ids: Annotated[
        list[int],
        typer.Argument(
            metavar="ID...", min=1, max=LARGEST_ID, help="The numbers that `list` shows."
        ),
    ],
    reason: Annotated[str, typer.Option(help="What you found out. Auditors see it.")],
    as_json: AsJson = False,
) -> None:
    """Close foreign writes and foreign schemas that you have looked at.

    Closing a finding does not undo the write. `reconcile --apply` does. Drift and other histories close
    by themselves when a comparison no longer finds them.
    """
    cleaned_reason = clean("reason", reason, LONGEST_REASON)

    async def close(service: Service) -> Sequence[Finding]:
        async with service.ledger.change(operator_attribution()) as change:
            await refuse_while_foreign(change.session, service.engine, set(ids))
            found = await findings.resolve_findings(change, set(ids), cleaned_reason)
            await service.ledger.commit(change)
        return found

    resolved = with_service(close)
    print_result(
        as_json, "\n".join(map(_resolved_line, resolved)), resolved=list(map(_facts, resolved))
    )


def sum_up(found: OpenFindings) -> str:
    """Return how many findings of a kind are open and where, with the command that shows more."""
    texts = KIND_TEXTS.get(found.kind, OTHER_TEXTS)
    kind = texts.singular if found.count == 1 else texts.plural
    where = ", ".join(map(_name, found.organizations[:MOST_NAMED]))
    if (others := found.concerned - MOST_NAMED) > 0:
        where += f" and {others} more"
    return f"{found.count} {kind} in {where}: {texts.inspect}"


def _listing(found: Sequence[Finding]) -> str:
    lines = [line for finding in found for line in _lines(finding)]
    if len(found) == MOST_LISTED:
        lines.append(f"These are the {MOST_LISTED} newest findings. There may be more.")
    return "\n".join(lines)


def _lines(finding: Finding) -> Iterator[str]:
    texts = KIND_TEXTS.get(finding.kind, OTHER_TEXTS)
    yield f"{finding.id}  {finding.found_at:%Y-%m-%d %H:%M:%S}Z  {_title(finding)}"
    yield from (f"   {line}" for line in _detail_lines(finding.details))
    if finding.resolved_at is None:
        organization = shlex.quote(_name(finding.organization_id))
        next_step = texts.repair.format(id=finding.id, organization=organization)
        yield f"   Next: {next_step}"
    else:
        by = f" by {finding.resolved_by}" if finding.resolved_by else " by a later comparison"
        yield f"   Resolved {finding.resolved_at:%Y-%m-%d %H:%M:%S}Z{by}"


class Details(msgspec.Struct):
    """The details of a finding that are printed."""

    updates: list[str] = []
    count: int = 0
    differences: list[str] = []
    why: str = ""
    metadata: Any = None
    counts: dict[str, int] = {}


def _detail_lines(stored: object) -> Iterator[str]:
    """Yield the details. The writer's own metadata is escaped, because it can be any text.

    SECURITY: a thief with the database password can plant other details. They must not hide the other
    findings.
    """
    try:
        details = msgspec.convert(stored, Details)
    except msgspec.ValidationError:
        yield "Its details are not of teamaccess. --json prints them."
        return
    if details.updates:
        yield from details.updates[:MOST_SHOWN]
        if (more := max(details.count, len(details.updates)) - MOST_SHOWN) > 0:
            yield f"and {more} more"
    if details.differences:
        yield f"It differs from the recorded schema: {', '.join(details.differences)}"
        yield "No change can give access in any organization until this finding is resolved."
    if details.why:
        yield f"Why: {details.why}"
    if details.metadata:
        yield f"The writer's metadata: {json.dumps(details.metadata)}"
    if details.counts:
        yield ", ".join(f"{count} {kind}" for kind, count in details.counts.items())


def _resolved_line(finding: Finding) -> str:
    return (
        f"{finding.id} ({_title(finding)}) is resolved. To see whether SpiceDB still differs: "
        f"teamaccess reconcile --organization {shlex.quote(_name(finding.organization_id))}"
    )


def _title(finding: Finding) -> str:
    kind = KIND_TEXTS.get(finding.kind, OTHER_TEXTS).singular
    return f"{kind} in {_name(finding.organization_id)}"


def _name(organization: str) -> str:
    """Return the name, cut short if no organization can have it."""
    return (
        organization if len(organization) <= LONGEST_NAME else f"{organization[:LONGEST_NAME]}..."
    )


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
