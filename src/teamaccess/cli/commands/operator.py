"""`teamaccess operator`: changes that only an operator of the service may make."""

import shlex
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

import typer

from teamaccess.audit.auditors.find import AuditorEntry
from teamaccess.audit.auditors.find import list_auditors as list_all
from teamaccess.audit.auditors.grant import grant_auditor as grant_audits
from teamaccess.audit.auditors.grant import revoke_auditor as revoke_audits
from teamaccess.changes import Change
from teamaccess.cli.with_service import (
    AsJson,
    UserArgument,
    operator_attribution,
    print_result,
    progress_of,
    with_service,
)
from teamaccess.common.errors import Invalid
from teamaccess.common.formats.times import parse_time
from teamaccess.common.sentences.excerpts import LONGEST_LOCAL_QUOTE
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.directory.members.administrators import grant_administrator as grant_role
from teamaccess.directory.organizations import create
from teamaccess.directory.users.logins import link_login as link_to_user
from teamaccess.directory.users.logins import release_address as release_of_user
from teamaccess.ledger import database_time
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, User, UserId

app = typer.Typer(add_completion=False, no_args_is_help=True)


class NoIssuer(Invalid):
    """`operator link-login` names no issuer, and the settings have none."""

    message = "Name the issuer with --issuer: TEAMACCESS_OIDC_ISSUER is not set."


class OtherIssuer(Invalid):
    """`operator link-login` names an issuer whose tokens are not accepted."""

    message = (
        "A login at {issuer} would never work: this service accepts only tokens of {accepted} "
        "(TEAMACCESS_OIDC_ISSUER), character by character. Leave --issuer out. If the issuer changes, "
        "set TEAMACCESS_OIDC_ISSUER to the new one for this command."
    )
    longest_quote = LONGEST_LOCAL_QUOTE


@app.callback()
def commands() -> None:
    """Make changes that only an operator may make. The ledger records each with its reason."""


@app.command("create-organization")
def create_organization(
    organization: Annotated[
        str, typer.Argument(help="Its permanent id, from a-z, 0-9 and hyphen.")
    ],
    name: Annotated[str, typer.Option(help="Its display name.")],
    reason: Annotated[str | None, typer.Option(help="The reason. Auditors see it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization without members. grant-administrator gives it the first one."""
    cleaned_reason = clean("reason", reason, LONGEST_REASON) if reason is not None else None

    async def make(service: Service) -> None:
        async with service.ledger.change(operator_attribution()) as change:
            await create.create_organization(
                change, organization, name, founder=None, reason=cleaned_reason
            )
            await service.ledger.commit(change)

    with_service(make)
    print_result(
        as_json,
        f"{organization} exists. Next: teamaccess operator grant-administrator "
        f"{shlex.quote(organization)} EMAIL --reason TEXT",
        organization=organization,
        name=name,
    )


@app.command("grant-administrator")
def grant_administrator(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    email: Annotated[
        str, typer.Argument(help="The person's address. A new address becomes a user and a member.")
    ],
    reason: Annotated[str, typer.Option(help="The reason. Auditors see it.")],
    as_json: AsJson = False,
) -> None:
    """Make a person an administrator without an expiry. A suspended member is reactivated."""
    cleaned_reason = clean("reason", reason, LONGEST_REASON)
    id = OrganizationId(organization)

    async def make(service: Service) -> tuple[str, str, dict[str, object]]:
        async with service.ledger.change(operator_attribution(), id) as change:
            membership = await grant_role(change, id, email, cleaned_reason)
            receipts = await service.ledger.commit(change)
        return membership.user_id, *progress_of(receipts)

    user, progress, facts = with_service(make)
    print_result(
        as_json,
        f"{email} ({user}) is an administrator of {organization}. {progress}",
        organization=organization,
        user=user,
        **facts,
    )


@app.command("grant-auditor")
def grant_auditor(
    email: Annotated[
        str, typer.Argument(help="The person's address. A new address becomes a user.")
    ],
    reason: Annotated[str, typer.Option(help="The reason. Auditors see it.")],
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When this ends, such as 2026-03-31T23:59:59Z."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a person ask the audit questions about every organization, and nothing else."""
    cleaned_reason = clean("reason", reason, LONGEST_REASON)
    end = parse_time(until) if until is not None else None
    user = _change_user(lambda change: grant_audits(change, email, cleaned_reason, end)).id
    print_result(
        as_json,
        f"{email} ({user}) may audit every organization{_until_text(end)}.",
        user=user,
        email=email,
        until=end,
    )


@app.command("revoke-auditor")
def revoke_auditor(
    user: UserArgument,
    reason: Annotated[str, typer.Option(help="The reason. Auditors see it.")],
    as_json: AsJson = False,
) -> None:
    """Take back `grant-auditor`. The person keeps audit permissions that they have as a member."""
    cleaned_reason = clean("reason", reason, LONGEST_REASON)
    ended = _change_user(lambda change: revoke_audits(change, user, cleaned_reason))
    print_result(
        as_json,
        f"{ended.email or user} ({ended.id}) is no longer an auditor of all organizations.",
        user=ended.id,
    )


@app.command("link-login")
def link_login(
    user: UserArgument,
    subject: Annotated[str, typer.Option(help="The `sub` of the person's tokens.")],
    reason: Annotated[str, typer.Option(help="The reason. Auditors see it.")],
    issuer: Annotated[
        str | None,
        typer.Option(help="The `iss` of the person's tokens; TEAMACCESS_OIDC_ISSUER by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a person another login. It replaces their present one, and ends their earlier sessions."""
    cleaned_reason = clean("reason", reason, LONGEST_REASON)

    async def link(service: Service) -> tuple[UserId, str | None, str]:
        named = issuer or service.settings.oidc_issuer
        if named is None:
            raise NoIssuer
        if service.settings.oidc_issuer not in (None, named):
            raise OtherIssuer(issuer=named, accepted=service.settings.oidc_issuer)
        async with service.ledger.change(operator_attribution()) as change:
            linked = await link_to_user(change, user, named, subject, cleaned_reason)
            await service.ledger.commit(change)
        return linked.id, linked.email, named

    id, email, named = with_service(link)
    print_result(
        as_json,
        f"{email or id} ({id}) signs in as {subject} at {named} from now on. Their earlier sessions have "
        "ended.",
        user=id,
        email=email,
        issuer=named,
        subject=subject,
    )


@app.command("release-address")
def release_address(
    user: UserArgument,
    reason: Annotated[str, typer.Option(help="The reason. Auditors see it.")],
    as_json: AsJson = False,
) -> None:
    """Take the address from a person whose mailbox has a new owner. They keep everything else."""
    cleaned_reason = clean("reason", reason, LONGEST_REASON)
    id = _change_user(lambda change: release_of_user(change, user, cleaned_reason)).id
    print_result(as_json, f"{id} has no address any more. Another person can use it now.", user=id)


@app.command("auditors")
def list_auditors(as_json: AsJson = False) -> None:
    """List the auditors of every organization, with start, end and the operator who named them."""

    async def look(service: Service) -> list[AuditorEntry]:
        async with service.reads() as session:
            return list(await list_all(session, await database_time(session)))

    found = with_service(look)
    lines = "\n".join(map(_line, found)) or "Nobody may audit every organization."
    print_result(as_json, lines, auditors=[each._asdict() for each in found])


def _line(auditor: AuditorEntry) -> str:
    person = f"{auditor.email} ({auditor.user})" if auditor.email else auditor.user
    return (
        f"{person} since {_timestamp(auditor.since)}{_until_text(auditor.until)}, by {auditor.by}"
    )


def _until_text(end: datetime | None) -> str:
    return f" until {_timestamp(end)}" if end is not None else ""


def _timestamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _change_user(make: Callable[[Change], Awaitable[User]]) -> User:
    """Make one change to a user as the operator; return the user."""

    async def commit(service: Service) -> User:
        async with service.ledger.change(operator_attribution()) as change:
            user = await make(change)
            await service.ledger.commit(change)
        return user

    return with_service(commit)
