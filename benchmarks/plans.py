"""The cost of a plan, and its growth with the members and objects of the organization."""

import time
from collections.abc import Callable
from statistics import median

from sqlalchemy import insert, select

from benchmarks.support import population
from benchmarks.support.environment import Environment
from benchmarks.support.report import Row, Table
from teamaccess.audit.plans.operations.members import Remove, SetRoles, Suspend
from teamaccess.audit.plans.operations.teams import PutInTeam, SetTeamRoles
from teamaccess.audit.plans.plan import plan
from teamaccess.audit.plans.proposals import Proposal
from teamaccess.directory.resources import register
from teamaccess.directory.resources.register import ResourceOperation
from teamaccess.ledger import Attribution
from teamaccess.service import Service, open_service
from teamaccess.storage import (
    Channel,
    Membership,
    OrganizationId,
    ResourceId,
    RoleId,
    Team,
    TeamId,
    TeamMembership,
    TeamRole,
    UserId,
)

SIZES = (100, 1_000, 10_000)
"""Members, and as many objects, of an organization."""
ROLES = ("support", "developer", "product")
TEAMS = 20
"""Teams. Half of the members are spread over them. Each team has a role; only teams with odd numbers have
one that no member has directly."""
MANY = 200
"""Changes in a large plan."""
ROUNDS = 5
AT_ONCE = 300
"""Objects, or places in teams, in one change."""

Kind = Callable[[int], Proposal]
"""Returns a proposed change; the number selects a member or a team."""


async def measure(environment: Environment) -> list[Table]:
    """Plan one change and many changes in organizations of each size."""
    async with open_service(environment.settings) as service:
        rows = [row for size in SIZES for row in await _of_size(service, size)]
    return [Table("Plans: one change and many, by members and objects", rows)]


async def _of_size(service: Service, size: int) -> list[Row]:
    organization = await population.create_organization(service)
    [administrator] = await population.add_members(
        service, organization, service.catalog.administrator, 1
    )
    await population.import_members(service, organization, ROLES, size)
    members = await _members(service, organization, administrator)
    await _add_objects(service, organization, size)
    await _add_teams(service, organization, members)
    kinds: dict[str, Kind] = {
        "put in a team": lambda n: PutInTeam(f"t{(2 * n + 1) % TEAMS}", members[-1 - n]),
        "set roles": lambda n: SetRoles(members[-1 - n], ["finance_and_accounting"]),
        "suspend": lambda n: Suspend(members[n]),
        "remove": lambda n: Remove(members[n]),
        "set a team's roles": lambda n: SetTeamRoles(f"t{n % TEAMS}", ["operations"]),
    }
    rows: list[Row] = []
    for name, kind in kinds.items():
        many = [kind(n) for n in range(min(MANY, TEAMS if "team's" in name else size))]
        rows.append(
            {
                "members and objects": f"{size:,}",
                "change": name,
                "one ms": await _timed(service, organization, administrator, many[:1]),
                "many": f"{len(many)}",
                "many ms": await _timed(service, organization, administrator, many),
            }
        )
    return rows


async def _timed(
    service: Service, organization: OrganizationId, administrator: UserId, changes: list[Proposal]
) -> float:
    asker = Attribution(f"user:{administrator}", Channel.API, "benchmarks")
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = await plan(
            service.audit.sources,
            service.ledger,
            organization,
            changes,
            asker=asker,
            caller=asker.caller,
        )
        took.append(1000 * (time.perf_counter() - began))
        if not found.changes or found.refusal is not None:
            raise ValueError(f"{found.refusal} with {len(found.changes)} changes")
    return median(took)


async def _members(
    service: Service, organization: OrganizationId, administrator: UserId
) -> list[UserId]:
    of_organization = select(Membership.user_id).where(
        Membership.organization_id == organization, Membership.user_id != administrator
    )
    async with service.reads() as session:
        return list(await session.scalars(of_organization.order_by(Membership.user_id)))


async def _add_objects(service: Service, organization: OrganizationId, count: int) -> None:
    for start in range(0, count, AT_ONCE):
        operations = [
            ResourceOperation("webhook", ResourceId(f"wh_{number}"))
            for number in range(start, min(count, start + AT_ONCE))
        ]
        async with service.ledger.change(population.BENCHMARK_OPERATOR, organization) as change:
            await register.apply(change, operations)
            await service.ledger.commit(change)


async def _add_teams(service: Service, organization: OrganizationId, members: list[UserId]) -> None:
    for number in range(TEAMS):
        id = TeamId(f"t{number}")
        async with service.ledger.change(population.BENCHMARK_OPERATOR, organization) as change:
            role = TeamRole(role=RoleId("operations" if number % 2 else "support"))
            team = Team(organization_id=organization, id=id, name=id, roles=[role])
            change.session.add(team)
            await service.ledger.commit(change)
        places = [
            {"organization_id": organization, "team_id": id, "user_id": user}
            for user in members[: len(members) // 2][number::TEAMS]
        ]
        for start in range(0, len(places), AT_ONCE):
            async with service.ledger.change(population.BENCHMARK_OPERATOR, organization) as change:
                await change.session.execute(
                    insert(TeamMembership), places[start : start + AT_ONCE]
                )
                await service.ledger.commit(change)
