"""`teamaccess ledger`: verify the ledger, show its status, and restart stopped organizations."""

import shlex
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from teamaccess.changes import Change, Ledger
from teamaccess.cli.commands.findings import sum_up
from teamaccess.cli.terminal import echo
from teamaccess.cli.with_service import (
    AsJson,
    NoSuchOrganization,
    operator_attribution,
    print_result,
    with_service,
)
from teamaccess.common.progress import Meter
from teamaccess.common.sentences.plurals import pluralize
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.delivery.status import LedgerStatus, ledger_status
from teamaccess.directory.organizations.stopped import retry_stopped, skip_stopped
from teamaccess.ledger.chains.heads import KeptHead, heads, read_kept_heads
from teamaccess.ledger.chains.read_chains import snapshot
from teamaccess.ledger.chains.verify import Verification, entries_to_verify, verify_chains
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

app = typer.Typer(add_completion=False, no_args_is_help=True)

DIFFERS = OPERATOR_NEEDED = 1

Organization = Annotated[
    str | None, typer.Option(help="Only this organization's chains. The default is all chains.")
]

Stopped = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="The stopped organization.")]
Reason = Annotated[str, typer.Option("--reason", help="The reason. Auditors see it.")]


@app.callback()
def commands() -> None:
    """Verify the ledger, show its status, and restart stopped organizations."""


@app.command("verify")
def verify(
    organization: Organization = None,
    heads_file: Annotated[
        Path | None,
        typer.Option("--heads", help="A file of heads that you kept.", exists=True, dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify that nobody altered the ledger and the events.

    Exits with 0 if everything holds, with 1 if something does not.

    All hashes are computed again. Every entry must have an event of its own transaction. Every token,
    invitation, auditor, login and resolved finding must agree with the newest event about it.

    An entry that was cut off at the end of a chain, or a chain that was rewritten with new hashes, is
    found only with --heads, by comparison with heads that you kept elsewhere.
    """

    async def look(service: Service) -> Verification:
        async with snapshot(service.settings.sqlalchemy_url) as connection:
            total = await entries_to_verify(connection, organization)
            with (
                _open_heads(heads_file) as kept_heads,
                Meter("Verifying", "entries", total) as meter,
            ):
                return await verify_chains(connection, organization, kept_heads, meter.step)

    found = with_service(look)
    facts = {**asdict(found), "findings": [each.facts() for each in found.findings]}
    print_result(as_json, _sentences(found), holds=found.intact, **facts)
    raise typer.Exit(0 if found.intact else DIFFERS)


@app.command("heads")
def export_heads(
    organization: Organization = None,
    as_json: Annotated[bool, typer.Option("--json", help="Heads are always JSON.")] = False,
) -> None:
    """Print the head of each chain as a line of JSON. Keep them elsewhere for `verify --heads`."""

    async def export(service: Service) -> bool:
        any_head = False
        async with snapshot(service.settings.sqlalchemy_url) as connection:
            async for head in heads(connection, organization):
                echo(msgspec.json.encode(head).decode())
                any_head = True
        return any_head

    if not with_service(export) and organization is not None:
        raise NoSuchOrganization(organization=organization)


@app.command("status")
def show_status(as_json: AsJson = False) -> None:
    """Show pending changes, stopped organizations with the reason, and open findings.

    Exits with 1 if an operator is needed: an organization has stopped, or a finding is open.
    """

    async def look(service: Service) -> LedgerStatus:
        async with service.reads() as session:
            return await ledger_status(session)

    status = with_service(look)
    facts = {**asdict(status), "open_findings": status.open_findings}
    print_result(as_json, _status_sentences(status), **facts)
    raise typer.Exit(OPERATOR_NEEDED if status.stopped or status.open_findings else 0)


@app.command("retry")
def retry_entry(organization: Stopped, reason: Reason, as_json: AsJson = False) -> None:
    """Send the entry that stops an organization again, for example after repairing SpiceDB's schema."""
    position = _resolve_stop(retry_stopped, organization, reason)
    sentence = f"The workers send {organization}:{position} again. Next: teamaccess ledger status"
    print_result(as_json, sentence, organization=organization, position=position)


@app.command("skip")
def skip_entry(organization: Stopped, reason: Reason, as_json: AsJson = False) -> None:
    """Skip the entry that stops an organization, so that the entries after it are delivered.

    SpiceDB then lacks the entry's relationships. `teamaccess reconcile` shows and repairs that.
    """
    position = _resolve_stop(skip_stopped, organization, reason)
    sentence = (
        f"{organization}:{position} is skipped. "
        f"Next: teamaccess reconcile --organization {shlex.quote(organization)}"
    )
    print_result(as_json, sentence, organization=organization, position=position)


Resolution = Callable[[Ledger, Change, OrganizationId, str], Awaitable[int]]


def _resolve_stop(resolution: Resolution, organization: str, reason: str) -> int:
    """Retry or skip the entry that stops the organization, and return its position."""
    id, cleaned_reason = OrganizationId(organization), clean("reason", reason, LONGEST_REASON)
    actor = operator_attribution()

    async def resolve(service: Service) -> int:
        async with service.ledger.change(actor, id, even_if_stopped=True) as change:
            position = await resolution(service.ledger, change, id, cleaned_reason)
            await service.ledger.commit(change)
        return position

    return with_service(resolve)


@contextmanager
def _open_heads(path: Path | None) -> Iterator[Iterator[KeptHead] | None]:
    """Yield the heads in a file, or None without a file. They are read one by one."""
    if path is None:
        yield None
        return
    with path.open("rb") as lines:
        yield read_kept_heads(lines, str(path))


def _sentences(found: Verification) -> str:
    """Return a line for everything that does not hold, and how much was verified."""
    verified = (
        f"Verified: chains {found.chains}, entries {found.entries}, kept heads {found.kept_heads}, "
        f"reasons {found.reasons} ({found.reasons_erased} erased)."
    )
    result = "Everything holds." if found.intact else "Not everything holds."
    return "\n".join([*map(str, found.findings), f"{result} {verified}"])


def _status_sentences(status: LedgerStatus) -> str:
    pending = "All changes are in force."
    if status.pending:
        oldest = f"the oldest for {status.oldest_pending_seconds:.1f} s"
        pending = f"{pluralize(status.pending, 'change')} on the way to SpiceDB, {oldest}."
    stopped = [
        f"{each.organization} has stopped at position {each.position}: {each.refusal}"
        for each in status.stopped
    ]
    found = map(sum_up, status.findings)
    checked = f"The oldest comparison is {status.oldest_check_seconds:.0f} s old"
    if status.unchecked_organizations:
        checked += f"; never compared: {pluralize(status.unchecked_organizations, 'organization')}"
    return "\n".join([pending, *stopped, *found, f"{checked}."])
