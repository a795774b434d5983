"""Members brought in by the thousand, against bare writes of the same relationships."""

import time
from collections.abc import Awaitable, Iterator

from authzed.api.v1 import Relationship, RelationshipUpdate, SubjectReference

from benchmarks import population
from benchmarks.baseline import Parts, parts, reference
from benchmarks.environment import Site
from benchmarks.population import BY_BENCHMARKS
from benchmarks.report import Row, Table
from teamaccess.common.progress import Meter
from teamaccess.directory.members.imports import BATCH, Newcomer, import_members
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId, RoleId, new_user_id

ROUND = 10_000
"""Members that one side brings in before it is the other's turn. An import is in full swing only after
its first batch and until its last."""
SIZES = (ROUND, 100_000)
ROUNDS = 10
ROLE = RoleId("support")


async def measure(site: Site) -> list[Table]:
    """Bring in members of one organization, in turns with the bare side.

    As the command does it, a process of its own: the worker, which reads along all that SpiceDB is
    written, is not there for either side.
    """
    site.without_us()
    async with open_service(site.settings) as service, parts(site) as bare:
        rows = [await _compare(service, bare, members) for members in SIZES]
    return [Table("Imports: members through the ledger against bare writes", rows)]


async def _compare(service: Service, bare: Parts, members: int) -> Row:
    """Bring in ten rounds of members, of one organization after another if these are small."""
    seconds, bare_seconds, ratios = 0.0, 0.0, []
    places = [await population.organization(service) for _ in range(ROUNDS * ROUND // members)]
    with Meter(f"imports, {members:,} members", "rounds", ROUNDS) as meter:
        for number in range(ROUNDS):
            place, begin = divmod(number * ROUND, members)
            ours, theirs = places[place], OrganizationId(f"bare-{members}-{place}")
            if number % 2 == 0:
                one = await _timed(_through_the_ledger(service, ours, begin))
                other = await _timed(_bare(bare, theirs))
            else:
                other = await _timed(_bare(bare, theirs))
                one = await _timed(_through_the_ledger(service, ours, begin))
            seconds, bare_seconds = seconds + one, bare_seconds + other
            ratios.append(other / one)
            meter.step()
    brought_in = ROUND * ROUNDS
    return {
        "members": f"{members:,}",
        "members /s": brought_in / seconds,
        "bare members /s": brought_in / bare_seconds,
        "of bare's speed": bare_seconds / seconds,
        "of rounds": f"{min(ratios):.2f} to {max(ratios):.2f}",
    }


async def _timed(work: Awaitable[None]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _through_the_ledger(service: Service, organization: OrganizationId, begin: int) -> None:
    newcomers = (
        Newcomer(f"{number}@{organization}.example", f"Member {number}", ROLE)
        for number in range(begin, begin + ROUND)
    )
    batches = import_members(
        service.ledger, service.applier, BY_BENCHMARKS, organization, newcomers
    )
    joined = [new async for _, new in batches]
    if sum(joined) != ROUND:
        raise ValueError(f"{sum(joined)} of {ROUND} members have joined")


async def _bare(parts: Parts, organization: OrganizationId) -> None:
    for begin in range(0, ROUND, BATCH):
        updates = [
            update for _ in range(min(BATCH, ROUND - begin)) for update in _member(organization)
        ]
        await parts.write(organization, updates)


def _member(organization: OrganizationId) -> Iterator[RelationshipUpdate]:
    subject = SubjectReference(object=reference("user", new_user_id()))
    for relation in ("member", ROLE):
        yield RelationshipUpdate(
            operation=RelationshipUpdate.OPERATION_TOUCH,
            relationship=Relationship(
                resource=reference("organization", organization), relation=relation, subject=subject
            ),
        )
