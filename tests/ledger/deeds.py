"""What people do to organizations through the API. Numbers choose among whatever there is."""

import secrets
from datetime import timedelta
from enum import StrEnum

import httpx

from teamaccess.ledger import OrganizationBusy
from teamaccess.models import OrganizationId, UserId
from teamaccess.organizations.found import grant_administrator
from tests.ledger.cast import Cast, Guest
from tests.world import OPERATOR, Person, Team


class End(StrEnum):
    """When a role ends."""

    NEVER = "never"
    TOMORROW = "tomorrow"
    NEXT_YEAR = "next year"


LATER = {End.TOMORROW: timedelta(days=1), End.NEXT_YEAR: timedelta(days=365)}


async def invite(cast: Cast, team: Team, by: Person, guest: Guest, roles: list[str]) -> None:
    """Offer somebody roles."""
    body = {"email": guest.address, "roles": roles}
    cast.answered(team, await by.ask("POST", f"{team.path}/invitations", json=body))
    cast.open_mails()


async def resend(cast: Cast, team: Team, by: Person, which: int) -> None:
    """Send an invitation again."""
    if found := await cast.invitations(team):
        path = f"{team.path}/invitations/{found[which % len(found)]}/resend"
        cast.answered(team, await by.ask("POST", path))
        cast.open_mails()


async def cancel(cast: Cast, team: Team, by: Person, which: int) -> None:
    """Take an invitation back."""
    if found := await cast.invitations(team):
        path = f"{team.path}/invitations/{found[which % len(found)]}"
        cast.answered(team, await by.ask("DELETE", path))


async def accept(cast: Cast, guest: Guest, which: int, stranger: Guest | None) -> None:
    """Present the secret of any mail, signed in as oneself or, wrongly, as somebody else."""
    if not guest.secrets:
        return
    who = (stranger or guest).person
    headers = {"Authorization": f"Bearer {who.token}"} if who is not None else {}
    secret = guest.secrets[which % len(guest.secrets)]
    answer = await cast.world.http.post(
        "/v1/invitations/accept", json={"token": secret}, headers=headers
    )
    body = answer.json()
    team = next((each for each in cast.teams if each.id == body.get("organization")), cast.teams[0])
    cast.answered(team, answer)
    if answer.status_code in (200, 202):
        user = UserId(body["user"])
        assert guest.person is None or guest.person.id == user
        guest.person = Person(cast.world, user, guest.address, body["access_token"])


async def change_roles(
    cast: Cast, team: Team, by: Person, whom: Person, roles: dict[str, End]
) -> None:
    """Give somebody exactly these roles."""
    now = await cast.world.service.now()
    wanted = [
        {"role": role, "expires_at": (now + LATER[end]).isoformat() if end in LATER else None}
        for role, end in roles.items()
    ]
    path = f"{team.path}/members/{whom.id}/roles"
    cast.answered(team, await by.ask("PUT", path, json={"roles": wanted}))


async def act(cast: Cast, team: Team, by: Person, whom: Person, verb: str) -> None:
    """Suspend, reactivate or remove somebody; those removed sign in again."""
    await _sessions_ended(cast, team, whom, await team.act(verb, whom, by=by))


async def leave(cast: Cast, team: Team, who: Person) -> None:
    """Go."""
    await _sessions_ended(cast, team, who, await who.ask("POST", f"{team.path}/leave"))


async def rename(cast: Cast, team: Team, by: Person) -> None:
    """Give the organization another name, which is no change of who may do what."""
    cast.answered(team, await by.ask("PATCH", team.path, json={"name": "Another"}))


async def end(cast: Cast, team: Team, by: Person) -> None:
    """End the organization; another one is founded in its place."""
    answer = cast.answered(team, await by.ask("DELETE", team.path))
    if answer.is_success:
        cast.teams.remove(team)
        cast.ended.append(team)
        await cast.found("phoenix")


async def found(cast: Cast, by: Person) -> None:
    """Found an organization, where everybody may."""
    id = OrganizationId(f"own-{secrets.token_hex(4)}")
    answer = await by.ask("POST", "/v1/organizations", json={"id": id, "name": "Own"})
    team = Team(cast.world, id, by)
    cast.answered(team, answer)
    if answer.is_success:
        cast.teams.append(team)


async def grant(cast: Cast, team: Team, guest: Guest) -> None:
    """Make somebody administrator, as an operator."""
    ledger = cast.world.service.ledger
    try:
        async with ledger.change(OPERATOR, team.id) as change:
            membership = await grant_administrator(change, team.id, guest.address, "as agreed")
            cast.received(await ledger.commit(change))
    except OrganizationBusy:
        cast.excuse()
        return
    if guest.person is None:
        token = await cast.world.token(membership.user_id)
        guest.person = Person(cast.world, membership.user_id, guest.address, token)


async def _sessions_ended(cast: Cast, team: Team, whom: Person, answer: httpx.Response) -> None:
    if cast.answered(team, answer).is_success:
        whom.token = await cast.world.token(whom.id)
