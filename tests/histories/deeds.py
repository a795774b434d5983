"""What people do to organizations through the API. Numbers choose among whatever there is."""

import secrets
from datetime import timedelta
from enum import StrEnum

import httpx

from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.ledger import OrganizationBusy
from teamaccess.storage import OrganizationId, UserId
from teamaccess.upkeep.worker.ends import end_due
from tests.histories.cast import Cast, Guest
from tests.support.spicedb_proxy import Writes
from tests.support.world import OPERATOR, Person, Team


class End(StrEnum):
    """When a role ends."""

    NEVER = "never"
    TOMORROW = "tomorrow"
    NEXT_YEAR = "next year"


LATER = {End.TOMORROW: timedelta(days=1), End.NEXT_YEAR: timedelta(days=365)}
NOTHING = "nothing to do it with"


async def invite(cast: Cast, team: Team, by: Person, guest: Guest, roles: list[str]) -> str:
    """Offer somebody roles."""
    body = {"email": guest.address, "roles": roles}
    answer = await by.ask("POST", f"{team.path}/invitations", json=body)
    cast.open_mails()
    return cast.answered(team, answer)


async def resend(cast: Cast, team: Team, by: Person, which: int) -> str:
    """Send an invitation again."""
    if found := await cast.invitations(team):
        path = f"{team.path}/invitations/{found[which % len(found)]}/resend"
        answer = await by.ask("POST", path)
        cast.open_mails()
        return cast.answered(team, answer)
    return NOTHING


async def cancel(cast: Cast, team: Team, by: Person, which: int) -> str:
    """Take an invitation back."""
    if found := await cast.invitations(team):
        path = f"{team.path}/invitations/{found[which % len(found)]}"
        return cast.answered(team, await by.ask("DELETE", path))
    return NOTHING


async def accept(cast: Cast, guest: Guest, which: int, stranger: Guest | None) -> str:
    """Present the secret of any mail, signed in as oneself or, wrongly, as somebody else."""
    if not guest.secrets:
        return NOTHING
    who = (stranger or guest).person
    headers = {"Authorization": f"Bearer {who.token}"} if who is not None else {}
    secret = guest.secrets[which % len(guest.secrets)]
    answer = await cast.world.http.post(
        "/v1/invitations/accept", json={"token": secret}, headers=headers
    )
    body = answer.json()
    team = next((each for each in cast.teams if each.id == body.get("organization")), cast.teams[0])
    if answer.is_success:
        user = UserId(body["user"])
        assert guest.person is None or guest.person.id == user
        guest.person = Person(cast.world, user, guest.address, body["access_token"])
    return cast.answered(team, answer)


async def change_roles(
    cast: Cast, team: Team, by: Person, whom: Person, roles: dict[str, End]
) -> str:
    """Give somebody exactly these roles."""
    now = await cast.world.service.now()
    wanted = [
        {"role": role, "expires_at": (now + LATER[end]).isoformat() if end in LATER else None}
        for role, end in roles.items()
    ]
    path = f"{team.path}/members/{whom.id}/roles"
    return cast.answered(team, await by.ask("PUT", path, json={"roles": wanted}))


async def act(cast: Cast, team: Team, by: Person, whom: Person, verb: str) -> str:
    """Suspend, reactivate or remove somebody; those removed sign in again."""
    return await _sessions_ended(cast, team, whom, await team.act(verb, whom, by=by))


async def leave(cast: Cast, team: Team, who: Person) -> str:
    """Go."""
    return await _sessions_ended(cast, team, who, await who.ask("POST", f"{team.path}/leave"))


async def rename(cast: Cast, team: Team, by: Person) -> str:
    """Give the organization another name, which is no change of who may do what."""
    return cast.answered(team, await by.ask("PATCH", team.path, json={"name": "Another"}))


async def end(cast: Cast, team: Team, by: Person) -> str:
    """End the organization; another one is founded in its place."""
    answer = await by.ask("DELETE", team.path)
    if answer.is_success:
        cast.teams.remove(team)
        cast.ended.append(team)
        await cast.found("phoenix")
    return cast.answered(team, answer)


async def found(cast: Cast, by: Person) -> str:
    """Found an organization, where everybody may."""
    id = OrganizationId(f"own-{secrets.token_hex(4)}")
    answer = await by.ask("POST", "/v1/organizations", json={"id": id, "name": "Own"})
    team = Team(cast.world, id, by)
    if answer.is_success:
        cast.teams.append(team)
    return cast.answered(team, answer)


async def grant(cast: Cast, team: Team, guest: Guest) -> str:
    """Make somebody administrator, as an operator."""
    ledger = cast.world.service.ledger
    try:
        async with ledger.change(OPERATOR, team.id) as change:
            membership = await grant_administrator(change, team.id, guest.address, "as agreed")
            cast.received(await ledger.commit(change))
    except OrganizationBusy:
        return cast.excuse()
    if guest.person is None:
        token = await cast.world.token(membership.user_id)
        guest.person = Person(cast.world, membership.user_id, guest.address, token)
    return "granted"


async def sweep(cast: Cast, team: Team) -> str:
    """End what has come to its end there, as a worker does; who is out by that signs in again."""
    try:
        ended = await end_due(cast.world.service.ledger, team.id)
    except OrganizationBusy:
        return cast.excuse()
    if ended and cast.link.writes is Writes.FAIL:
        cast.behind.add(team.id)
    for person in cast.people(team):
        person.token = await cast.world.token(person.id)
    return f"{ended} ended"


async def _sessions_ended(cast: Cast, team: Team, whom: Person, answer: httpx.Response) -> str:
    if answer.is_success:
        whom.token = await cast.world.token(whom.id)
    return cast.answered(team, answer)
