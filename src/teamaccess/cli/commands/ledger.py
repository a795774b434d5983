"""`teamaccess ledger`: what was decided and told, and the proof that it is still as it was written."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from teamaccess.changes import Change, Ledger
from teamaccess.cli.commands.findings import sum_up
from teamaccess.cli.connected import AsJson, NoSuchOrganization, connected, operator, tell
from teamaccess.cli.terminal import echo
from teamaccess.common.progress import Meter
from teamaccess.common.text import LONGEST_REASON, clean, pluralize
from teamaccess.delivery.status import LedgerStatus, ledger_status
from teamaccess.directory.organizations.stopped import retry_stopped, skip_stopped
from teamaccess.ledger.chains.heads import KeptHead, heads, read_kept_heads
from teamaccess.ledger.chains.read_chains import snapshot
from teamaccess.ledger.chains.verify import Verification, entries_to_verify, verify_chains
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

app = typer.Typer(add_completion=False, no_args_is_help=True)

DOES_NOT_HOLD = ATTENTION = 1

Organization = Annotated[
    str | None, typer.Option(help="Only this organization's chains; all of them if not given.")
]

Stopped = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="The one that has stopped.")]
Why = Annotated[str, typer.Option("--reason", help="Why; kept for the auditor.")]


@app.callback()
def commands() -> None:
    """Look after the ledger and the events."""


@app.command("verify")
def verify(
    organization: Organization = None,
    kept: Annotated[
        Path | None,
        typer.Option("--heads", help="Heads that were kept.", exists=True, dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether nothing was altered. Exits with 0 if everything holds, with 1 if something does not.

    Every hash is computed again from nothing. Every entry must have an event of its own transaction, and
    every token, invitation, auditor, login and resolved finding must be as the newest event about it
    says. What was cut off at the end of a chain, or written anew with hashes that fit, shows only beside
    heads that were kept elsewhere.
    """

    async def look(service: Service) -> Verification:
        async with snapshot(service.settings.sqlalchemy_url) as connection:
            total = await entries_to_verify(connection, organization)
            with _opened(kept) as to_compare, Meter("Verifying", "entries", total) as meter:
                return await verify_chains(connection, organization, to_compare, meter.step)

    found = connected(look)
    facts = {**asdict(found), "findings": [each.facts() for each in found.findings]}
    tell(as_json, _sentences(found), holds=found.intact, **facts)
    raise typer.Exit(0 if found.intact else DOES_NOT_HOLD)


@app.command("heads")
def export_heads(
    organization: Organization = None,
    as_json: Annotated[bool, typer.Option("--json", help="They are JSON in any case.")] = False,
) -> None:
    """Print where each chain ends, a line of JSON each, to be kept elsewhere for `verify --heads`."""

    async def export(service: Service) -> bool:
        known = False
        async with snapshot(service.settings.sqlalchemy_url) as connection:
            async for head in heads(connection, organization):
                echo(msgspec.json.encode(head).decode())
                known = True
        return known

    if not connected(export) and organization is not None:
        raise NoSuchOrganization(organization=organization)


@app.command("status")
def show_status(as_json: AsJson = False) -> None:
    """Tell what waits for SpiceDB, what has stopped and why, and what was found.

    Exits with 1 if an operator is needed: something has stopped, or a finding is open.
    """

    async def look(service: Service) -> LedgerStatus:
        async with service.reads() as session:
            return await ledger_status(session)

    status = connected(look)
    facts = {**asdict(status), "open_findings": status.open_findings}
    tell(as_json, _status_sentences(status), **facts)
    raise typer.Exit(ATTENTION if status.stopped or status.open_findings else 0)


@app.command("retry")
def retry_entry(organization: Stopped, reason: Why, as_json: AsJson = False) -> None:
    """Send the entry that stops an organization once more, as after mending SpiceDB's schema."""
    position = _way_out(retry_stopped, organization, reason)
    sentence = f"{organization}:{position} goes to the workers again; `ledger status` tells."
    tell(as_json, sentence, organization=organization, position=position)


@app.command("skip")
def skip_entry(organization: Stopped, reason: Why, as_json: AsJson = False) -> None:
    """Give up the entry that stops an organization, so that the ones behind it follow.

    What it says is then missing from SpiceDB, which `teamaccess reconcile` shows and mends.
    """
    position = _way_out(skip_stopped, organization, reason)
    sentence = (
        f"{organization}:{position} is given up. "
        f"Next: teamaccess reconcile --organization {organization}"
    )
    tell(as_json, sentence, organization=organization, position=position)


WayOut = Callable[[Ledger, Change, OrganizationId, str], Awaitable[int]]


def _way_out(way: WayOut, organization: str, reason: str) -> int:
    id, why = OrganizationId(organization), clean("reason", reason, LONGEST_REASON)

    async def take(service: Service) -> int:
        async with service.ledger.change(operator(), id, even_if_stopped=True) as change:
            position = await way(service.ledger, change, id, why)
            await service.ledger.commit(change)
        return position

    return connected(take)


@contextmanager
def _opened(path: Path | None) -> Iterator[Iterator[KeptHead] | None]:
    """The heads in a file, read as they are asked for."""
    if path is None:
        yield None
        return
    with path.open("rb") as lines:
        yield read_kept_heads(lines, str(path))


def _sentences(found: Verification) -> str:
    """Return a line for everything that does not hold, and what was looked at."""
    looked_at = (
        f"Looked at: chains {found.chains}, entries {found.entries}, kept heads {found.kept_heads}, "
        f"reasons {found.reasons} ({found.reasons_erased} erased)."
    )
    verdict = "Everything holds." if found.intact else "Not everything holds."
    return "\n".join([*map(str, found.findings), f"{verdict} {looked_at}"])


def _status_sentences(status: LedgerStatus) -> str:
    waiting = "Everything decided is in force."
    if status.pending:
        oldest = f"the oldest for {status.oldest_pending_seconds:.1f} s"
        waiting = f"{pluralize(status.pending, 'change')} on the way to SpiceDB, {oldest}."
    stopped = [
        f"{each.organization} has stopped at position {each.position}: {each.refusal}"
        for each in status.stopped
    ]
    found = map(sum_up, status.findings)
    checked = f"The oldest comparison is {status.oldest_check_seconds:.0f} s old"
    if status.unchecked_organizations:
        checked += f"; {status.unchecked_organizations} organizations were never compared"
    return "\n".join([waiting, *stopped, *found, f"{checked}."])
