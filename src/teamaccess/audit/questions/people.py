"""The current names of people and service accounts."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from sqlalchemy import ARRAY, Text, any_, bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes.events import EventKind
from teamaccess.storage import Event, Membership, OrganizationId, User, UserId

HERE = exists().where(
    Membership.organization_id == bindparam("organization"), Membership.user_id == User.id
)
NAMES = select(User.id, User.email, User.name, User.profile_at, HERE.label("is_member")).where(
    User.id == any_(bindparam("users", type_=ARRAY(Text)))
)
LEFT = (
    select(Event.subject, func.max(Event.occurred_at).label("left_at"))
    .where(
        Event.chain == bindparam("organization"),
        Event.subject == any_(bindparam("subjects", type_=ARRAY(Text))),
        Event.kind.in_(
            [EventKind.MEMBER_REMOVED, EventKind.MEMBER_LEFT, EventKind.MEMBERSHIP_ENDED]
        ),
    )
    .group_by(Event.subject)
)
BATCH = 10_000
"""Users in one query."""
DisplayNames = dict[UserId, str]
USER_IN_ACTOR = re.compile(r"user:(\S+)")
"""A user in the actor of a ledger entry. An actor names one user, two users, or none."""


class Person(msgspec.Struct, frozen=True, order=True):
    """A user with their address and name."""

    user: UserId
    email: str | None
    name: str | None

    @property
    def display_name(self) -> str:
        """The address, or else the id with the name that the user chose, or else the id.

        SECURITY: the name is quoted because a user could choose `x via y`, which looks like an actor.
        """
        if self.email is not None or not self.name:
            return self.email or self.user
        return f"{msgspec.json.encode(self.name).decode()} ({self.user})"


async def find_people(
    session: AsyncSession, organization: OrganizationId, users: Iterable[UserId]
) -> dict[UserId, Person]:
    """Return all these users in the order of their ids. Unknown users have no address and no name.

    SECURITY: an address or a name that somebody took on after they left the organization is another
    tenant's, or their own business. So it is not shown.
    """
    ordered = sorted(set(users))
    people = {user: Person(user, None, None) for user in ordered}
    changed: dict[UserId, datetime] = {}
    for start in range(0, len(ordered), BATCH):
        batch = {"organization": organization, "users": ordered[start : start + BATCH]}
        for row in await session.execute(NAMES, batch):
            people[row.id] = Person(row.id, row.email, row.name)
            if row.profile_at is not None and not row.is_member:
                changed[row.id] = row.profile_at
    if changed:
        subjects = [f"user:{user}" for user in changed]
        found = await session.execute(LEFT, {"organization": organization, "subjects": subjects})
        left = {row.subject: row.left_at for row in found}
        for user, at in changed.items():
            if at > left.get(f"user:{user}", at.min.replace(tzinfo=UTC)):
                people[user] = Person(user, None, None)
    return people


def users_in_actors(actors: Iterable[str]) -> set[UserId]:
    """Return the users that the actors of ledger entries name."""
    return {UserId(user) for actor in set(actors) for user in USER_IN_ACTOR.findall(actor)}


def display_names(people: Iterable[Person]) -> DisplayNames:
    """Return each person's display name by their id."""
    return {person.user: person.display_name for person in people}


def actor_with_names(actor: str, names: DisplayNames) -> str:
    """Return the actor of a ledger entry with display names instead of user ids."""
    return USER_IN_ACTOR.sub(lambda match: names.get(UserId(match[1]), match[0]), actor)
