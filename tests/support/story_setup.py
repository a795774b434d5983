"""Steps that many stories take: people who are simply there, time that has passed, what was kept."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
from sqlalchemy import select, update

from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue
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
from tests.support.deployment import Deployment, Organization, Person

PROBLEM = "application/problem+json"


async def execute_without_triggers(
    deployment: Deployment, statement: str, *parameters: Any
) -> None:
    """Do something as the superuser, whom no trigger of PostgreSQL's sees."""
    connection = await asyncpg.connect(deployment.owner_url.replace(OWNER, SUPERUSER, 1))
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement, *parameters)
    finally:
        await connection.close()


def without_proofs(details: dict[str, Any]) -> dict[str, Any]:
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


async def wait_until_stopped(organization: Organization) -> httpx.Response:
    """The answer to a change that meets the entry for which SpiceDB has refused its organization.

    On a busy machine SpiceDB may take longer to say so than a change waits for what is before it.
    """
    async with asyncio.timeout(60):
        while True:
            answer = await organization.invite("eve", ["product"])
            if answer.json()["code"] != "organization_busy":
                refused(answer, 503, "organization_stopped")
                return answer


async def add_members(
    organization: Organization, people: Mapping[str, Sequence[str]], suspended: Sequence[str] = ()
) -> dict[str, Person]:
    """Make members with these roles at once, as an operator; they are signed in."""
    enlisted = {}
    async with organization.deployment.operator(organization.id) as change:
        for name, roles in people.items():
            user = User(id=new_user_id(), email=organization.address(name), name=name.title())
            change.session.add(
                Membership(
                    organization_id=organization.id,
                    user=user,
                    suspended_at=change.now if name in suspended else None,
                    assignments=[RoleAssignment(role=RoleId(role)) for role in roles],
                )
            )
            enlisted[name] = user
    service = organization.deployment.service
    now = await service.now()
    for name, user in enlisted.items():
        token = issue(service.keys, Audience.USER, user.id, now, LONGEST_LIFE)
        organization.people[name] = Person(
            organization.deployment, user.id, user.email or "", token
        )
    return {name: organization.people[name] for name in people}


async def load_invitation(organization: Organization, id: str) -> Invitation:
    """The invitation's row."""
    async with organization.deployment.service.reads() as session:
        return await session.get_one(Invitation, (organization.id, InvitationId(id)))


async def backdate_invitation(organization: Organization, id: str, by: timedelta) -> None:
    """Let time pass for an invitation: it was made and sent so much earlier."""
    async with organization.deployment.operator(organization.id) as change:
        row = await change.session.get_one(Invitation, (organization.id, InvitationId(id)))
        for moment in ("created_at", "sent_at", "expires_at"):
            setattr(row, moment, getattr(row, moment) - by)
    await _attest(organization, id)


async def _attest(organization: Organization, id: str) -> None:
    """Have the event about an invitation say what the row says now."""
    again = (
        "UPDATE attested_rows SET proof = invitation_proof(i) FROM invitations i"
        " WHERE key = 'invitation:' || i.organization_id || '/' || i.id"
        " AND i.organization_id = $1 AND i.id = $2"
    )
    await execute_without_triggers(organization.deployment, again, organization.id, id)


async def replace_offered_roles(organization: Organization, id: str, roles: Sequence[str]) -> None:
    """Write other roles into an invitation that was sent, as an older version might have."""
    async with organization.deployment.operator(organization.id) as change:
        row = await change.session.get_one(Invitation, (organization.id, InvitationId(id)))
        row.offers = [InvitationRole(role=RoleId(role)) for role in roles]
    await _attest(organization, id)


async def set_role_expiry(
    organization: Organization, whom: Person, role: str, at: datetime | None
) -> None:
    """Write an end into somebody's role, past ends too."""
    async with organization.deployment.operator(organization.id) as change:
        held = await change.session.get_one(
            RoleAssignment, (organization.id, whom.id, RoleId(role))
        )
        held.expires_at = at


async def set_membership_expiry(
    organization: Organization, whom: Person, at: datetime | None
) -> None:
    """Write an end into somebody's membership, past ends too."""
    async with organization.deployment.operator(organization.id) as change:
        membership = await change.session.get_one(Membership, (organization.id, whom.id))
        membership.expires_at = at


async def set_invitation_expiry(organization: Organization, id: str, at: datetime) -> None:
    """Let so much time pass for an invitation that its end is there, past ends too."""
    await backdate_invitation(
        organization, id, (await load_invitation(organization, id)).expires_at - at
    )


async def set_last_activity(organization: Organization, whom: Person, at: datetime) -> None:
    """Move somebody's last activity."""
    async with organization.deployment.service.sessions.begin() as session:
        await session.execute(
            update(Activity)
            .where(Activity.organization_id == organization.id, Activity.user_id == whom.id)
            .values(last_active_at=at)
        )


async def events(organization: Organization) -> list[Event]:
    """The organization's chain of events, in order."""
    return await events_of_chain(organization, organization.id)


async def events_of_chain(organization: Organization, name: str) -> list[Event]:
    """A chain of events, in order."""
    async with organization.deployment.service.reads() as session:
        rows = await session.scalars(
            select(Event).where(Event.chain == name).order_by(Event.position)
        )
        return list(rows)


async def roles_by_member(organization: Organization) -> dict[str, list[str]]:
    """Everybody's roles, by user, as the rows have them."""
    async with organization.deployment.service.reads() as session:
        rows = await session.execute(
            select(Membership.user_id, RoleAssignment.role)
            .outerjoin(
                RoleAssignment,
                (RoleAssignment.organization_id == Membership.organization_id)
                & (RoleAssignment.user_id == Membership.user_id),
            )
            .where(Membership.organization_id == organization.id)
            .order_by(Membership.user_id, RoleAssignment.role)
        )
        found: dict[str, list[str]] = {}
        for user, role in rows:
            found.setdefault(user, []).extend([role] if role else [])
        return found
