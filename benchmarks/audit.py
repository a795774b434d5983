"""The cost of audit answers, complete and explained, against the engine's bare answer."""

from authzed.api.v1 import Consistency, LookupSubjectsRequest

from benchmarks.audit_questions import matrix, past, why
from benchmarks.support import long_ledgers, population
from benchmarks.support.bare_stack import BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.load import Step, interleave, ratio
from benchmarks.support.report import Row, Table
from teamaccess.audit.questions.who_can import who_can
from teamaccess.audit.state.facts import facts_at
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId

SIZES = (10, 1_000, 100_000)
"""Members of an organization."""
HISTORIES = (1_000, 10_000, 100_000)
"""Positions of a ledger."""
ACTION = "links_access"
"""An action that every role contains."""
ROUNDS = 3

LENGTH = """
SELECT max(position) AS positions, sum(cardinality(updates)) AS updates
FROM ledger WHERE organization_id = $1
"""
ENTRIES = """
SELECT position, decided_at, updates FROM ledger WHERE organization_id = $1 ORDER BY position
"""


async def measure(environment: Environment) -> list[Table]:
    """Ask about small and large organizations, and replay short and long ledgers."""
    environment.stop_api_and_worker()
    async with open_service(environment.settings) as service, bare_stack(environment) as bare:
        organizations = {members: await _organization(service, members) for members in SIZES}
        who = await _who_can(service, bare, organizations)
        reasons = await why.measure(service, organizations)
        everybody = await matrix.measure(service, bare)
        changed = [
            await long_ledgers.create_ledger(service, bare.database, each) for each in HISTORIES
        ]
        replayed = [await _replay(service, bare, "two updates each", id) for id in changed]
        replayed.append(await _replay(service, bare, "900 updates each", organizations[SIZES[-1]]))
        past_rows = [await past.ask(service, "history", id) for id in changed]
        large = [await _organization(service, members) for members in past.SIZES]
        past_rows += [await past.ask(service, "members", id) for id in large]
    return [
        Table("Audit: who can, all of the organization", who),
        reasons,
        *everybody,
        Table("Audit: the present state, replayed from the ledger", replayed),
        Table("Audit: as of a past time", past_rows),
    ]


async def _organization(service: Service, members: int) -> OrganizationId:
    id = await population.create_organization(service)
    await population.import_members(service, id, matrix.ROLES, members)
    return id


async def _who_can(
    service: Service, bare: BareStack, organizations: dict[int, OrganizationId]
) -> list[Row]:
    rows: list[Row] = []
    before, before_ms = 0, 0.0
    for members, id in organizations.items():
        explained, bare_figures = await interleave(
            f"audit, who can of {members:,}",
            [_explained(service, id, members)],
            [_named(bare, id, members)],
            rounds=ROUNDS,
        )
        slower, took = ratio(explained, bare_figures), explained.median_ms
        each = 1000 * (took - before_ms) / (members - before)
        rows.append(
            {
                "members": f"{members:,}",
                "µs for each added member": f"{each:,.0f}" if before else "",
                "median ms": took,
                "bare median ms": bare_figures.median_ms,
                "ratio": slower.median,
                "of rounds": slower.spread,
            }
        )
        before, before_ms = members, took
    return rows


def _explained(service: Service, organization: OrganizationId, members: int) -> Step:
    """Return the question who can, answered with every path and its decisions."""

    async def ask() -> None:
        answer = await who_can(await service.audit.sources.of(organization), ACTION)
        evidence = answer.evidence
        if (evidence.rows, evidence.unexplained, evidence.missing) != (members, 0, 0):
            raise ValueError(f"{evidence} of {members}")

    return ask


def _named(bare: BareStack, organization: OrganizationId, members: int) -> Step:
    """Return the same question to the engine alone, which only names the users."""

    async def ask() -> None:
        call = bare.engine.LookupSubjects(
            LookupSubjectsRequest(
                consistency=Consistency(fully_consistent=True),
                resource=reference("organization", organization),
                permission=ACTION,
                subject_object_type="user",
            ),
            metadata=bare.key,
        )
        named = {response.subject.subject_object_id async for response in call}
        if len(named) != members:
            raise ValueError(f"{len(named)} of {members}")

    return ask


async def _replay(
    service: Service, bare: BareStack, entries: str, organization: OrganizationId
) -> Row:
    [(positions, updates)] = await bare.database.fetch(LENGTH, organization)

    async def replay() -> None:
        facts = await facts_at(service.reads, organization, positions)
        if not facts.current:
            raise ValueError(f"nothing stands in {organization}")

    async def read() -> None:
        await bare.database.fetch(ENTRIES, organization)

    title = f"audit, replaying {positions:,} positions"
    replayed, bare_figures = await interleave(title, [replay], [read], rounds=ROUNDS)
    slower, micros = ratio(replayed, bare_figures), 1000 * replayed.median_ms
    return {
        "entries": entries,
        "positions": f"{positions:,}",
        "updates": f"{updates:,}",
        "median ms": replayed.median_ms,
        "µs a position": micros / positions,
        "µs an update": micros / updates,
        "bare median ms": bare_figures.median_ms,
        "ratio": slower.median,
        "of rounds": slower.spread,
    }
