"""`teamaccess operator`: what only whoever runs the service may do."""

from typing import Annotated

import typer

from teamaccess.cli.connected import AsJson, connected, operator, progress_of, tell
from teamaccess.members.administrators import grant_administrator as grant
from teamaccess.models import OrganizationId
from teamaccess.organizations.found import found
from teamaccess.service import Service
from teamaccess.text import LONGEST_REASON, clean

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
            await found(change, organization, name, founder=None, reason=why)
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
