"""Clients that keep changing roles while a test injects faults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.faults.clients import Clients, RequestOptions
from tests.faults.operations import change_roles
from tests.support.spicedb_proxy import wait_until

WORKERS = 8


class BackgroundChanges:
    """The changes of several clients, until they are stopped."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.stopping = False

    async def wait_for_more(self) -> None:
        """Wait until twenty more changes are acknowledged."""
        before = len(self._clients.log.acknowledged)

        async def more() -> bool:
            return len(self._clients.log.acknowledged) >= before + 20

        await wait_until(more)

    async def change_roles_repeatedly(self, number: int) -> None:
        """Give people other roles again and again."""
        chance = Random(number)  # noqa: S311 - no secret depends on it
        while not self.stopping:
            organization = chance.choice(self._clients.organizations)
            options = RequestOptions(chance.choice(organization.administrators), retry=True)
            roles = chance.sample(self._clients.roles, 2)
            await change_roles(
                self._clients, organization, options, chance.choice(organization.people), roles
            )


@asynccontextmanager
async def changes_in_background(clients: Clients) -> AsyncIterator[BackgroundChanges]:
    """Let clients work during the block. Requests that have begun are finished."""
    work = BackgroundChanges(clients)
    workers = asyncio.gather(*(work.change_roles_repeatedly(number) for number in range(WORKERS)))
    try:
        yield work
    finally:
        work.stopping = True
        await workers
