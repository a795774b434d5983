"""People who change one thing after the other, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.faults.crowd import Crowd, Manner
from tests.faults.deeds import change_roles
from tests.support.spicedb_proxy import until

WORKERS = 8


class Work:
    """What several people do at the same time, until they are told to stop."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self.over = False

    async def goes_on(self) -> None:
        """Wait until twenty more changes are made."""
        before = len(self._crowd.record.acknowledged)

        async def more() -> bool:
            return len(self._crowd.record.acknowledged) >= before + 20

        await until(more)

    async def person(self, number: int) -> None:
        """Give people other roles again and again."""
        chance = Random(number)  # noqa: S311 - nothing secret hangs on it
        while not self.over:
            house = chance.choice(self._crowd.houses)
            manner = Manner(chance.choice(house.administrators), stubborn=True)
            roles = chance.sample(self._crowd.roles, 2)
            await change_roles(self._crowd, house, manner, chance.choice(house.people), roles)


@asynccontextmanager
async def busy(crowd: Crowd) -> AsyncIterator[Work]:
    """Let people work while the block lasts; what they have begun they finish."""
    work = Work(crowd)
    people = asyncio.gather(*(work.person(number) for number in range(WORKERS)))
    try:
        yield work
    finally:
        work.over = True
        await people
