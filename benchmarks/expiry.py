"""How long SpiceDB goes on answering yes after an expiry and after a removal, at each consistency.

Only one access ends at a time and nothing else is written, so no other change moves SpiceDB to a newer
revision. The checks never stop, so SpiceDB's caches hold the yes.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median, quantiles

from authzed.api.v1 import (
    CheckPermissionRequest,
    Consistency,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
    ZedToken,
)

from benchmarks.support import population
from benchmarks.support.bare_stack import HAS, BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.population import BENCHMARK_OPERATOR
from benchmarks.support.report import Row, Table
from benchmarks.support.second_spicedb import second_spicedb
from teamaccess.common.progress import Meter
from teamaccess.service import Service, open_service
from teamaccess.storage import Membership, OrganizationId, RoleAssignment, RoleId, UserId

MEASUREMENTS = 50
MEASUREMENTS_AT_DEFAULTS = 10
"""With SpiceDB's defaults each measurement takes some seconds."""
HELD_FOR = timedelta(seconds=0.7)
"""How long a role is held before its end. Every check answers yes in this time."""
PAUSE_SECONDS = 0.005
QUIET_SECONDS = 1.0
"""No further yes is expected after this time without one."""
LONGEST_SECONDS = 15.0

Freshness = Mapping[str, Consistency]
End = Callable[[UserId], Awaitable[tuple[float, Freshness]]]
"""Ends access; returns the time, and further consistencies that can be asked for from then on."""


async def measure(environment: Environment) -> list[Table]:
    """End roles and remove members, one after another."""
    rows: list[Row] = []
    async with (
        open_service(environment.settings) as service,
        bare_stack(environment) as ours,
        second_spicedb(environment, ours, "spicedb_at_defaults", options=()) as at_defaults,
    ):
        organization = await population.create_organization(service)
        for which, spicedb, measurements in (
            ("as we start it", ours, MEASUREMENTS),
            ("at its defaults", at_defaults, MEASUREMENTS_AT_DEFAULTS),
        ):
            watch = _Watch(service, spicedb, organization)
            for title, end in (
                ("role ended by the worker", watch.role_ends),
                ("member removed", watch.removal),
                ("expired in SpiceDB alone", watch.expires_alone),
            ):
                rows += await _rows(which, title, watch, end, measurements)
    return [Table("Ends: the last yes after it, in seconds", rows)]


async def _rows(which: str, title: str, watch: "_Watch", end: End, measurements: int) -> list[Row]:
    seconds_by_freshness: dict[str, list[float]] = {}
    with Meter(f"expiry, SpiceDB {which}, {title}", "ends", measurements) as meter:
        for _ in range(measurements):
            for freshness, seconds in (await watch.once(end)).items():
                seconds_by_freshness.setdefault(freshness, []).append(seconds)
            meter.step()
    return [
        _row(which, title, freshness, seconds)
        for freshness, seconds in seconds_by_freshness.items()
    ]


def _row(which: str, title: str, freshness: str, seconds: Sequence[float]) -> Row:
    never = sum(math.isinf(each) for each in seconds)
    return {
        "SpiceDB": which,
        "after": title,
        "freshness": freshness,
        "times": str(len(seconds)),
        "median s": median(seconds),
        "p95 s": quantiles(seconds, n=20, method="inclusive")[-1],
        "max s": max(seconds),
        f"yes for {LONGEST_SECONDS:.0f} s": str(never) if never else "",
    }


class _Watch:
    """Checks one member continuously while their access ends."""

    def __init__(self, service: Service, bare: BareStack, organization: OrganizationId) -> None:
        self._service, self._bare, self._organization = service, bare, organization

    async def once(self, end: End) -> dict[str, float]:
        """Return for each consistency how many seconds after the end the last yes came."""
        [user] = await population.add_members(self._service, self._organization, "support", 1)
        old = await self._token()
        fresh = {
            "minimize_latency": Consistency(minimize_latency=True),
            "at_least_as_fresh, an old token": _at_least(old),
            "fully_consistent": Consistency(fully_consistent=True),
        }
        last = dict.fromkeys(fresh, 0.0)
        asking = [
            asyncio.create_task(self._ask(user, name, consistency, last))
            for name, consistency in fresh.items()
        ]
        async with asyncio.timeout(LONGEST_SECONDS):
            while not all(last.values()):  # noqa: ASYNC110 - each consistency answers its first yes at another time
                await asyncio.sleep(PAUSE_SECONDS)
        ended, more = await end(user)
        last |= dict.fromkeys(more, ended)
        asking += [
            asyncio.create_task(self._ask(user, name, consistency, last))
            for name, consistency in more.items()
        ]
        while (now := time.time()) < max(ended, *last.values()) + QUIET_SECONDS:
            if now > ended + LONGEST_SECONDS:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        return {
            name: math.inf if now - at < QUIET_SECONDS else max(0.0, at - ended)
            for name, at in last.items()
        }

    async def role_ends(self, user: UserId) -> tuple[float, Freshness]:
        """Let the role expire in a moment, so that the worker ends it."""
        async with self._service.ledger.change(BENCHMARK_OPERATOR, self._organization) as change:
            key = (self._organization, user, RoleId("support"))
            assignment = await change.session.get_one(RoleAssignment, key)
            end = assignment.expires_at = change.now + HELD_FOR
            await self._service.ledger.commit(change)
        await _until(end)
        return end.timestamp(), {}

    async def removal(self, user: UserId) -> tuple[float, Freshness]:
        """Remove the member. The time counts from the response, whose token can be used in checks."""
        await asyncio.sleep(HELD_FOR.total_seconds())
        async with self._service.ledger.change(BENCHMARK_OPERATOR, self._organization) as change:
            member = await change.session.get_one(Membership, (self._organization, user))
            await change.session.delete(member)
            [receipt] = await self._service.ledger.commit(change)
        answered = time.time()
        if receipt.zed_token is None:
            raise TimeoutError("SpiceDB does not keep up with one removal at a time")
        return answered, {"at_least_as_fresh, the answer's token": _at_least(receipt.zed_token)}

    async def expires_alone(self, user: UserId) -> tuple[float, Freshness]:
        """Let a relationship without a row expire, so that no worker ends it."""
        end = await self._service.now() + HELD_FOR
        relationship = Relationship(
            resource=reference("organization", self._organization),
            relation="support",
            subject=SubjectReference(object=reference("user", user)),
        )
        relationship.optional_expires_at.FromDatetime(end)
        touch = RelationshipUpdate.OPERATION_TOUCH
        await self._bare.write(
            self._organization, [RelationshipUpdate(operation=touch, relationship=relationship)]
        )
        await _until(end)
        return end.timestamp(), {}

    async def _token(self) -> str:
        async with self._service.ledger.change(BENCHMARK_OPERATOR, self._organization) as change:
            [ledger_position] = change.ledger_positions
        if ledger_position.zed_token is None:
            raise ValueError("nothing has been decided yet")
        return ledger_position.zed_token

    async def _ask(
        self, user: UserId, name: str, consistency: Consistency, last: dict[str, float]
    ) -> None:
        question = CheckPermissionRequest(
            consistency=consistency,
            resource=reference("organization", self._organization),
            permission="refunds_create",
            subject=SubjectReference(object=reference("user", user)),
        )
        while True:
            answer = await self._bare.engine.CheckPermission(question, metadata=self._bare.key)
            if answer.permissionship == HAS:
                last[name] = time.time()
            await asyncio.sleep(PAUSE_SECONDS)


def _at_least(token: str) -> Consistency:
    return Consistency(at_least_as_fresh=ZedToken(token=token))


async def _until(moment: datetime) -> None:
    await asyncio.sleep(max(0.0, moment.timestamp() - time.time()))
