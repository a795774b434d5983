"""Steps that many stories take: people who are simply there, time that has passed, what was kept."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
from sqlalchemy import select, update

from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.local.postgres.server import OWNER, SUPERUSER
from teamaccess.storage import (
    Activity,
    Event,
    Invitation,
    InvitationId,
    InvitationRole,
    Membership,
    RoleAssignment,
    RoleId,
    User,
    new_user_id,
)
from tests.support.world import Person, Team, World

PROBLEM = "application/problem+json"


async def unseen(world: World, statement: str, *parameters: Any) -> None:
    """Do something as the superuser, whom no trigger of PostgreSQL's sees."""
    connection = await asyncpg.connect(world.owner_url.replace(OWNER, SUPERUSER, 1))
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement, *parameters)
    finally:
        await connection.close()


def besides_proofs(details: dict[str, Any]) -> dict[str, Any]:
    """What the application said in an event, without what PostgreSQL adds of the rows."""
    return {name: each for name, each in details.items() if name != "attests"}


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that a refusal is told as; fails when it was not refused just so."""
    assert response.status_code == status, f"{response.request.url}: {response.text}"
    assert response.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem["title"]
    assert problem["detail"]
    return problem


async def has_stopped(team: Team) -> httpx.Response:
    """The answer to a change that meets the entry for which SpiceDB has refused its organization.

    On a busy machine SpiceDB may take longer to say so than a change waits for what is before it.
    """
    async with asyncio.timeout(60):
        while True:
            answer = await team.invite("eve", ["product"])
            if answer.json()["code"] != "organization_busy":
                refused(answer, 503, "organization_stopped")
                return answer


async def enlist(
    team: Team, people: Mapping[str, Sequence[str]], suspended: Sequence[str] = ()
) -> dict[str, Person]:
    """Make members with these roles at once, as an operator; they are signed in."""
    enlisted = {}
    async with team.world.operator(team.id) as change:
        for name, roles in people.items():
            user = User(id=new_user_id(), email=team.address(name), name=name.title())
            change.session.add(
                Membership(
                    organization_id=team.id,
                    user=user,
                    suspended_at=change.now if name in suspended else None,
                    assignments=[RoleAssignment(role=RoleId(role)) for role in roles],
                )
            )
            enlisted[name] = user
    service = team.world.service
    now = await service.now()
    for name, user in enlisted.items():
        token = issue_access_token(service.keys, Audience.USER, user.id, now, LONGEST_LIFE)
        team.people[name] = Person(team.world, user.id, user.email or "", token)
    return {name: team.people[name] for name in people}


async def invitation_of(team: Team, id: str) -> Invitation:
    """The invitation's row."""
    async with team.world.service.reads() as session:
        return await session.get_one(Invitation, (team.id, InvitationId(id)))


async def age(team: Team, id: str, by: timedelta) -> None:
    """Let time pass for an invitation: it was made and sent so much earlier."""
    async with team.world.operator(team.id) as change:
        row = await change.session.get_one(Invitation, (team.id, InvitationId(id)))
        for moment in ("created_at", "sent_at", "expires_at"):
            setattr(row, moment, getattr(row, moment) - by)
    await _attest(team, id)


async def _attest(team: Team, id: str) -> None:
    """Have the event about an invitation say what the row says now."""
    again = (
        "UPDATE attested_rows SET proof = invitation_proof(i) FROM invitations i"
        " WHERE key = 'invitation:' || i.organization_id || '/' || i.id"
        " AND i.organization_id = $1 AND i.id = $2"
    )
    await unseen(team.world, again, team.id, id)


async def offer_instead(team: Team, id: str, roles: Sequence[str]) -> None:
    """Write other roles into an invitation that was sent, as an older version might have."""
    async with team.world.operator(team.id) as change:
        row = await change.session.get_one(Invitation, (team.id, InvitationId(id)))
        row.offers = [InvitationRole(role=RoleId(role)) for role in roles]
    await _attest(team, id)


async def end_role(team: Team, whom: Person, role: str, at: datetime | None) -> None:
    """Write an end into somebody's role, past ends too."""
    async with team.world.operator(team.id) as change:
        held = await change.session.get_one(RoleAssignment, (team.id, whom.id, RoleId(role)))
        held.expires_at = at


async def end_membership(team: Team, whom: Person, at: datetime | None) -> None:
    """Write an end into somebody's membership, past ends too."""
    async with team.world.operator(team.id) as change:
        membership = await change.session.get_one(Membership, (team.id, whom.id))
        membership.expires_at = at


async def end_invitation(team: Team, id: str, at: datetime) -> None:
    """Let so much time pass for an invitation that its end is there, past ends too."""
    await age(team, id, (await invitation_of(team, id)).expires_at - at)


async def last_seen(team: Team, whom: Person, at: datetime) -> None:
    """Move somebody's last activity."""
    async with team.world.service.sessions.begin() as session:
        await session.execute(
            update(Activity)
            .where(Activity.organization_id == team.id, Activity.user_id == whom.id)
            .values(last_active_at=at)
        )


async def events(team: Team) -> list[Event]:
    """The organization's chain of events, in order."""
    return await chain(team, team.id)


async def chain(team: Team, name: str) -> list[Event]:
    """A chain of events, in order."""
    async with team.world.service.reads() as session:
        rows = await session.scalars(
            select(Event).where(Event.chain == name).order_by(Event.position)
        )
        return list(rows)


async def members(team: Team) -> dict[str, list[str]]:
    """Everybody's roles, by user, as the rows have them."""
    async with team.world.service.reads() as session:
        rows = await session.execute(
            select(Membership.user_id, RoleAssignment.role)
            .outerjoin(
                RoleAssignment,
                (RoleAssignment.organization_id == Membership.organization_id)
                & (RoleAssignment.user_id == Membership.user_id),
            )
            .where(Membership.organization_id == team.id)
            .order_by(Membership.user_id, RoleAssignment.role)
        )
        found: dict[str, list[str]] = {}
        for user, role in rows:
            found.setdefault(user, []).extend([role] if role else [])
        return found
