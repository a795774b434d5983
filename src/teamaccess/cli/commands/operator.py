"""`teamaccess operator`: what only whoever runs the service may do."""

from datetime import datetime
from typing import Annotated

import typer

from teamaccess.audit.auditors.find import AuditorEntry
from teamaccess.audit.auditors.find import list_auditors as list_all
from teamaccess.audit.auditors.grant import grant_auditor as grant_all
from teamaccess.audit.auditors.grant import revoke_auditor as revoke_all
from teamaccess.cli.connected import AsJson, connected, operator, progress_of, tell
from teamaccess.cli.terminal import time_of
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.directory.members.administrators import grant_administrator as grant
from teamaccess.directory.organizations import create
from teamaccess.ledger import database_time
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, UserId

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Do what only whoever runs the service may do; all of it is in the ledger, with the reason."""


@app.command("create-organization")
def create_organization(
    organization: Annotated[str, typer.Argument(help="Its id, for ever: a-z, 0-9 and hyphen.")],
    name: Annotated[str, typer.Option(help="What people read.")],
    reason: Annotated[str | None, typer.Option(help="Why; kept for the auditor.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an organization without members; grant-administrator gives it the first one."""
    why = clean("reason", reason, LONGEST_REASON) if reason is not None else None

    async def make(service: Service) -> None:
        async with service.ledger.change(operator()) as change:
            await create.create_organization(change, organization, name, founder=None, reason=why)
            await service.ledger.commit(change)

    connected(make)
    tell(
        as_json,
        f"{organization} exists. Next: teamaccess operator grant-administrator "
        f"{organization} EMAIL --reason TEXT",
        organization=organization,
        name=name,
    )


@app.command("grant-administrator")
def grant_administrator(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    email: Annotated[str, typer.Argument(help="Whom; a new address becomes a user and a member.")],
    reason: Annotated[str, typer.Option(help="Why; kept for the auditor.")],
    as_json: AsJson = False,
) -> None:
    """Make somebody administrator, without an end; a suspended member is active again."""
    why = clean("reason", reason, LONGEST_REASON)
    id = OrganizationId(organization)

    async def make(service: Service) -> tuple[str, str, dict[str, object]]:
        async with service.ledger.change(operator(), id) as change:
            membership = await grant(change, id, email, why)
            receipts = await service.ledger.commit(change)
        return membership.user_id, *progress_of(receipts)

    user, progress, facts = connected(make)
    tell(
        as_json,
        f"{email} ({user}) is administrator of {organization}. {progress}",
        organization=organization,
        user=user,
        **facts,
    )


@app.command("grant-auditor")
def grant_auditor(
    email: Annotated[str, typer.Argument(help="Whom; a new address becomes a user.")],
    reason: Annotated[str, typer.Option(help="Why; kept for the auditor.")],
    until: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="For how long, as 2026-03-31T23:59:59Z.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let somebody ask the auditor's questions about every organization, and do nothing else there."""
    why = clean("reason", reason, LONGEST_REASON)
    end = time_of(until) if until is not None else None

    async def make(service: Service) -> UserId:
        async with service.ledger.change(operator()) as change:
            user = await grant_all(change, email, why, end)
            await service.ledger.commit(change)
        return user.id

    user = connected(make)
    tell(
        as_json,
        f"{email} ({user}) may audit every organization{_until(end)}.",
        user=user,
        email=email,
        until=end,
    )


@app.command("revoke-auditor")
def revoke_auditor(
    email: Annotated[str, typer.Argument(help="Whose, or the user's id.")],
    reason: Annotated[str, typer.Option(help="Why; kept for the auditor.")],
    as_json: AsJson = False,
) -> None:
    """Let an auditor of all organizations audit none any more, but where they may as a member."""
    why = clean("reason", reason, LONGEST_REASON)

    async def end(service: Service) -> UserId:
        async with service.ledger.change(operator()) as change:
            user = await revoke_all(change, email, why)
            await service.ledger.commit(change)
        return user.id

    user = connected(end)
    tell(as_json, f"{email} ({user}) is no auditor of all organizations any more.", user=user)


@app.command("auditors")
def list_auditors(as_json: AsJson = False) -> None:
    """Tell who may audit every organization, since when, until when, and by whom."""

    async def look(service: Service) -> list[AuditorEntry]:
        async with service.reads() as session:
            return list(await list_all(session, await database_time(session)))

    found = connected(look)
    told = "\n".join(map(_line, found)) or "Nobody audits every organization."
    tell(as_json, told, auditors=[each._asdict() for each in found])


def _line(auditor: AuditorEntry) -> str:
    who = f"{auditor.email} ({auditor.user})" if auditor.email else auditor.user
    return f"{who} since {_when(auditor.since)}{_until(auditor.until)}, by {auditor.by}"


def _until(end: datetime | None) -> str:
    return f" until {_when(end)}" if end is not None else ""


def _when(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
