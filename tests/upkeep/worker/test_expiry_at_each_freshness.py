"""After an expiry, a check says no at every freshness, although nothing else is written.

SpiceDB caches answers for a revision. Without the sweeper, it would keep saying yes after an expiry
until the next write.
"""

import asyncio
import time
from datetime import timedelta

import pytest
from authzed.api.v1 import (
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    ObjectReference,
    SubjectReference,
    ZedToken,
)

from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import running_worker

PROMISED_SECONDS = 1.5
LENIENCE_SECONDS = 3.5
"""For a busy machine."""
AHEAD = timedelta(seconds=2)


class RepeatedCheck:
    """A service that repeats a check until the answer has been no for a while."""

    def __init__(self, organization: Organization, target: Person, fresh: Consistency) -> None:
        self._organization = organization
        self._question = CheckPermissionRequest(
            consistency=fresh,
            resource=ObjectReference(object_type="organization", object_id=organization.id),
            permission="refunds_create",
            subject=SubjectReference(
                object=ObjectReference(object_type="user", object_id=target.id),
            ),
        )
        self.yes = 0
        self.last_yes = 0.0
        """By the clock of this machine, which PostgreSQL uses too."""
        self.no = 0

    async def run(self, *, enough: int = 20) -> None:
        """Ask until the answer was no `enough` times in a row."""
        while self.no < enough:
            if await self._ask():
                self.yes, self.last_yes, self.no = self.yes + 1, time.time(), 0
            else:
                self.no += 1
            await asyncio.sleep(0.02)

    async def _ask(self) -> bool:
        key = self._organization.deployment.settings.spicedb_preshared_key.get_secret_value()
        answer = await self._organization.deployment.engine.CheckPermission(
            self._question, metadata=(("authorization", f"Bearer {key}"),)
        )
        has = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
        return bool(answer.permissionship == has)


@pytest.mark.parametrize("what", ["role", "membership"])
async def test_an_expiry_is_visible_in_time_at_every_freshness(
    acme: Organization, what: str
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    end = await acme.deployment.service.now() + AHEAD
    if what == "role":
        await acme.set_role_expiry(bob, "support", end)
    else:
        await acme.set_membership_expiry(bob, end)
    old = (await acme.administrator.ask("PATCH", acme.path, json={"name": "A"})).headers[
        "Zed-Token"
    ]
    asking = {
        "minimize_latency": RepeatedCheck(acme, bob, Consistency(minimize_latency=True)),
        "at_least_as_fresh": RepeatedCheck(
            acme, bob, Consistency(at_least_as_fresh=ZedToken(token=old))
        ),
        "fully_consistent": RepeatedCheck(acme, bob, Consistency(fully_consistent=True)),
    }
    async with running_worker(acme.deployment), asyncio.timeout(AHEAD.total_seconds() + 15):
        await asyncio.gather(*(each.run() for each in asking.values()))
    for name, each in asking.items():
        assert each.yes > 10, name
        assert each.last_yes - end.timestamp() < PROMISED_SECONDS + LENIENCE_SECONDS, name
