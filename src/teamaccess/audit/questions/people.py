"""What people and machines are called, today."""

import re
from collections.abc import Iterable

import msgspec
from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import User, UserId

NAMES = select(User.id, User.email, User.name).where(
    User.id == any_(bindparam("users", type_=ARRAY(Text)))
)
AT_A_TIME = 10_000
Called = dict[UserId, str]
IN_ACTORS = re.compile(r"user:(\S+)")
"""A user in a ledger entry's actor, which has one or two of them, or none."""


class Person(msgspec.Struct, frozen=True, order=True):
    """Somebody, and what they are called."""

    user: UserId
    email: str | None
    name: str | None

    @property
    def called(self) -> str:
        """What they are known by among people: their address, or their id with the name that they chose.

        The name is quoted: in `x via y` nothing but the ledger says who was there.
        """
        if self.email is not None or not self.name:
            return self.email or self.user
        return f"{msgspec.json.encode(self.name).decode()} ({self.user})"


async def people(session: AsyncSession, users: Iterable[UserId]) -> dict[UserId, Person]:
    """Return everybody who was asked for, in the order of their ids; who is unknown has no name."""
    wanted = sorted(set(users))
    found = {user: Person(user, None, None) for user in wanted}
    for start in range(0, len(wanted), AT_A_TIME):
        rows = await session.execute(NAMES, {"users": wanted[start : start + AT_A_TIME]})
        found |= {row.id: Person(*row) for row in rows}
    return found


def users_in(actors: Iterable[str]) -> set[UserId]:
    """Return the users whom ledger entries name as actors."""
    return {UserId(user) for actor in set(actors) for user in IN_ACTORS.findall(actor)}


def called(people: Iterable[Person]) -> Called:
    """Return by their ids what they are called."""
    return {person.user: person.called for person in people}


def in_words(actor: str, called: Called) -> str:
    """Return a ledger entry's actor with people by what they are called instead of their ids."""
    return IN_ACTORS.sub(lambda found: called.get(UserId(found[1]), found[0]), actor)
