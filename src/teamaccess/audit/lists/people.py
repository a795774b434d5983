"""Members, and places in teams, at a past time."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.lists.past_directory import PastDirectory
from teamaccess.audit.lists.teams import roles_at, teams_at
from teamaccess.audit.questions.people import find_people
from teamaccess.audit.state.facts import Fact
from teamaccess.directory.members.find import HeldRoleView, RoleOrigin
from teamaccess.directory.members.listing import MemberEntry
from teamaccess.directory.roles.find import RoleNotFound
from teamaccess.directory.teams.find import TeamMemberEntry, UnknownTeam
from teamaccess.storage import (
    Membership,
    MembershipStatus,
    OrganizationId,
    RoleId,
    TeamId,
    User,
    UserId,
)

MEMBERSHIP_EVENTS = (
    "member_suspended",
    "member_reactivated",
    "member_removed",
    "member_left",
    "membership_ended",
)
SERVICE_ACCOUNTS = select(User.id, User.service_account_of).where(
    User.id == any_(bindparam("users", type_=ARRAY(Text))), User.service_account_of.is_not(None)
)
JOINED = select(Membership.user_id, Membership.joined_at).where(
    Membership.organization_id == bindparam("organization"),
    Membership.user_id == any_(bindparam("users", type_=ARRAY(Text))),
)


async def members_at(session: AsyncSession, past: PastDirectory) -> list[MemberEntry]:
    """Return all members, active and suspended, in the order in which they joined."""
    gates = {
        UserId(subject.removeprefix("user:")): fact
        for relation, subject, fact in past.of(f"organization:{past.organization}")
        if relation == "member" and "#" not in subject
    }
    suspended = suspensions_at(past)
    users = sorted(gates.keys() | suspended.keys())
    people = await find_people(session, past.organization, users)
    found = await session.execute(SERVICE_ACCOUNTS, {"users": users})
    accounts = {row.id: row.service_account_of for row in found}
    joined = await _joined(session, past.organization, users)
    roles = _roles(past)
    entries = []
    for user in users:
        gate, at = gates.get(user), suspended.get(user)
        began = past.began(gate) if gate is not None else at or past.at
        first = joined.get(user, began)
        person = people[user]
        entries.append(
            MemberEntry(
                user_id=user,
                email=person.email,
                name=person.name,
                service_account_of=accounts.get(user),
                joined_at=first if first <= past.at else began,
                expires_at=gate.expires_at if gate is not None else None,
                suspended_at=at,
                last_active_at=None,
                roles=roles.get(user, []),
            )
        )
    return sorted(entries, key=lambda entry: (entry.joined_at, entry.user_id))


@dataclass(frozen=True)
class PastMemberFilter:
    """Which members to list; None leaves a criterion out."""

    role: str | None = None
    team: str | None = None
    status: MembershipStatus | None = None

    async def read(self, session: AsyncSession, past: PastDirectory) -> list[MemberEntry]:
        """Return the members. Raises RoleNotFound and UnknownTeam."""
        members = await members_at(session, past)
        if self.role is not None:
            if self.role not in [each.role.id for each in await roles_at(session, past)]:
                raise RoleNotFound(role=self.role, organization=past.organization)
            members = [each for each in members if self.role in [held.role for held in each.roles]]
        if self.team is not None:
            places = await team_members_at(session, past, TeamId(self.team))
            inside = {place.user_id for place in places}
            members = [each for each in members if each.user_id in inside]
        if self.status is not None:
            members = [
                each for each in members if MembershipStatus.of(each.suspended_at) is self.status
            ]
        return members


async def team_members_at(
    session: AsyncSession, past: PastDirectory, team: TeamId
) -> list[TeamMemberEntry]:
    """Return the members of a team, in the order in which they joined it. Raises UnknownTeam."""
    if team not in [each.id for each in await teams_at(session, past)]:
        raise UnknownTeam(team=team, organization=past.organization)
    places = {
        UserId(subject.removeprefix("user:")): fact
        for _, subject, fact in past.by_local_id("team").get(team, ())
    }
    people = await find_people(session, past.organization, places)
    suspended = suspensions_at(past)
    entries = [
        TeamMemberEntry(
            user_id=user,
            email=people[user].email,
            name=people[user].name,
            suspended_at=suspended.get(user),
            joined_at=past.began(fact),
            expires_at=fact.expires_at,
        )
        for user, fact in places.items()
    ]
    return sorted(entries, key=lambda entry: (entry.joined_at, entry.user_id))


def suspensions_at(past: PastDirectory) -> dict[UserId, datetime]:
    """Return since when each suspended member was suspended."""
    active = {fact.identity for fact in past.facts}
    return {
        UserId(user): events[-1].occurred_at
        for user, events in past.events_by_subject(*MEMBERSHIP_EVENTS).items()
        if events[-1].kind == "member_suspended"
        and f"organization:{past.organization}#member@user:{user}" not in active
    }


async def _joined(
    session: AsyncSession, organization: OrganizationId, users: list[UserId]
) -> dict[UserId, datetime]:
    keys = {"organization": organization, "users": users}
    return {UserId(user): at for user, at in await session.execute(JOINED, keys)}


def _roles(past: PastDirectory) -> dict[UserId, list[HeldRoleView]]:
    """Return the roles of each user, directly and from teams."""
    holders: list[tuple[str, str, Fact]] = [
        (relation, subject, fact)
        for relation, subject, fact in past.of(f"organization:{past.organization}")
        if relation in past.catalog.roles
    ]
    holders += [
        (role, subject, fact)
        for role, found in past.by_local_id("role").items()
        for _, subject, fact in found
    ]
    places = past.by_local_id("team")
    origins: dict[UserId, dict[str, list[RoleOrigin]]] = defaultdict(lambda: defaultdict(list))
    for role, subject, fact in holders:
        kind, _, id = subject.partition(":")
        if kind == "user":
            direct = RoleOrigin(None, past.began(fact), fact.expires_at)
            origins[UserId(id)][role].insert(0, direct)
            continue
        team = id.partition("/")[2].removesuffix("#member")
        for _, member, place in places.get(team, ()):
            ends = [end for end in (fact.expires_at, place.expires_at) if end is not None]
            since = max(past.began(fact), past.began(place))
            origin = RoleOrigin(TeamId(team), since, min(ends, default=None))
            origins[UserId(member.removeprefix("user:"))][role].append(origin)
    return {
        user: [
            HeldRoleView(RoleId(role), sorted(found, key=lambda each: each.team or ""))
            for role, found in sorted(roles.items())
        ]
        for user, roles in origins.items()
    }
