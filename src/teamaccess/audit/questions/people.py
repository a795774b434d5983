"""The current names of people and service accounts."""

import re
from collections.abc import Iterable

import msgspec
from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import User, UserId

NAMES = select(User.id, User.email, User.name).where(
    User.id == any_(bindparam("users", type_=ARRAY(Text)))
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


async def find_people(session: AsyncSession, users: Iterable[UserId]) -> dict[UserId, Person]:
    """Return all these users in the order of their ids. Unknown users have no address and no name."""
    ordered = sorted(set(users))
    people = {user: Person(user, None, None) for user in ordered}
    for start in range(0, len(ordered), BATCH):
        rows = await session.execute(NAMES, {"users": ordered[start : start + BATCH]})
        people |= {row.id: Person(*row) for row in rows}
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
