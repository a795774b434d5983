"""Members imported by the thousand, against bare writes of the same relationships."""

from collections.abc import Iterator

from authzed.api.v1 import Relationship, RelationshipUpdate, SubjectReference

from benchmarks.support import population
from benchmarks.support.bare_stack import BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.load import seconds_of
from benchmarks.support.population import BENCHMARK_OPERATOR
from benchmarks.support.report import Row, Table
from teamaccess.common.progress import Meter
from teamaccess.directory.members.imports import BATCH, Newcomer, import_members
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId, RoleId, new_user_id

ROUND = 10_000
"""Members that one side imports in its turn. An import reaches full speed only after its first batch."""
SIZES = (ROUND, 100_000)
ROUNDS = 10
ROLE = RoleId("support")


async def measure(environment: Environment) -> list[Table]:
    """Import members into one organization, in turns with the bare side.

    The worker is stopped for both sides, because it reads every write that SpiceDB reports.
    """
    environment.stop_api_and_worker()
    async with open_service(environment.settings) as service, bare_stack(environment) as bare:
        rows = [await _compare(service, bare, members) for members in SIZES]
    return [Table("Imports: members through the ledger against bare writes", rows)]


async def _compare(service: Service, bare: BareStack, members: int) -> Row:
    """Import ten rounds of members, into several organizations if they are small."""
    seconds, bare_seconds, ratios = 0.0, 0.0, []
    places = [
        await population.create_organization(service) for _ in range(ROUNDS * ROUND // members)
    ]
    with Meter(f"imports, {members:,} members", "rounds", ROUNDS) as meter:
        for number in range(ROUNDS):
            place, begin = divmod(number * ROUND, members)
            organization, bare_organization = (
                places[place],
                OrganizationId(f"bare-{members}-{place}"),
            )
            if number % 2 == 0:
                one = await seconds_of(_through_the_ledger(service, organization, begin))
                other = await seconds_of(_bare(bare, bare_organization))
            else:
                other = await seconds_of(_bare(bare, bare_organization))
                one = await seconds_of(_through_the_ledger(service, organization, begin))
            seconds, bare_seconds = seconds + one, bare_seconds + other
            ratios.append(other / one)
            meter.step()
    imported = ROUND * ROUNDS
    return {
        "members": f"{members:,}",
        "members /s": imported / seconds,
        "bare members /s": imported / bare_seconds,
        "of bare's speed": bare_seconds / seconds,
        "of rounds": f"{min(ratios):.2f} to {max(ratios):.2f}",
    }


async def _through_the_ledger(service: Service, organization: OrganizationId, begin: int) -> None:
    newcomers = (
        Newcomer(f"{number}@{organization}.example", f"Member {number}", ROLE)
        for number in range(begin, begin + ROUND)
    )
    batches = import_members(
        service.ledger, service.applier, BENCHMARK_OPERATOR, organization, newcomers
    )
    joined = [batch.joined async for batch in batches]
    if sum(joined) != ROUND:
        raise ValueError(f"{sum(joined)} of {ROUND} members have joined")


async def _bare(bare: BareStack, organization: OrganizationId) -> None:
    for begin in range(0, ROUND, BATCH):
        updates = [
            update for _ in range(min(BATCH, ROUND - begin)) for update in _member(organization)
        ]
        await bare.write(organization, updates)


def _member(organization: OrganizationId) -> Iterator[RelationshipUpdate]:
    subject = SubjectReference(object=reference("user", new_user_id()))
    for relation in ("member", ROLE):
        yield RelationshipUpdate(
            operation=RelationshipUpdate.OPERATION_TOUCH,
            relationship=Relationship(
                resource=reference("organization", organization), relation=relation, subject=subject
            ),
        )
