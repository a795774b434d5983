"""The invariants that hold after every step of a random history."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text

from teamaccess.access.authorize import MEMBERSHIP
from teamaccess.access.holdings import role_set_of
from teamaccess.relationships import Relationship, user
from teamaccess.relationships import organization as organization_object
from tests.histories.resource_operations import assert_resource_permissions_match_grants
from tests.histories.simulation import Simulation
from tests.support.agreement import (
    head_position,
    ledger_entries,
    marked_positions,
    relationships_of_rows,
    replay_entries,
    spicedb_contents,
    without_markers,
)
from tests.support.organization import Organization
from tests.support.people import Person

ACTIVE = """
SELECT 1 FROM memberships
WHERE organization_id = :organization AND user_id = :user AND suspended_at IS NULL
AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
HELD = """
SELECT role FROM role_assignments WHERE organization_id = :organization AND user_id = :user
AND (expires_at IS NULL OR expires_at > clock_timestamp())
UNION
SELECT role FROM team_roles JOIN team_memberships USING (organization_id, team_id)
WHERE organization_id = :organization AND user_id = :user
AND least(team_roles.expires_at, team_memberships.expires_at, 'infinity') > clock_timestamp()
"""


async def assert_sides_agree(simulation: Simulation, organization: Organization) -> None:
    """The rows agree with the replayed ledger, and SpiceDB has all of the ledger or a prefix of it."""
    now = await simulation.deployment.service.now()
    ledger, everything = await ledger_entries(organization), await spicedb_contents(organization)
    there = marked_positions(everything)
    arrived = ledger[: len(there)]
    assert there == {entry.position: entry.hash.hex()[:12] for entry in arrived}
    assert head_position(everything) == {
        entry.position: entry.hash.hex()[:12] for entry in arrived[-1:]
    }
    if organization.id not in simulation.behind:
        assert len(arrived) == len(ledger)
    assert _unexpired(await relationships_of_rows(organization), now) == _unexpired(
        replay_entries(ledger), now
    )
    assert _unexpired(without_markers(everything), now) == _unexpired(replay_entries(arrived), now)


async def assert_administrator_remains(simulation: Simulation, organization: Organization) -> None:
    """Assert that there is an active administrator without expiry."""
    assert await simulation.administrators(organization)


async def assert_permissions_match_roles(
    simulation: Simulation, organization: Organization, person: Person
) -> None:
    """Assert that active members have exactly the permissions of their current roles, and others none."""
    catalog = simulation.deployment.service.catalog
    asked = {MEMBERSHIP, *(action.permission for action in catalog.actions.values())}
    permitted = await simulation.deployment.service.engine.permitted(
        organization_object(organization.id), asked, user(person.id)
    )
    expected = set()
    async with simulation.deployment.service.reads() as session:
        keys = {"organization": organization.id, "user": person.id}
        if await session.scalar(text(ACTIVE), keys):
            roles = (await session.scalars(text(HELD), keys)).all()
            held = (await role_set_of(session, catalog, organization.id, roles)).actions_of(roles)
            expected = {MEMBERSHIP, *(catalog.actions[each].permission for each in held)}
    assert permitted == expected


def _unexpired(relationships: Iterable[Relationship], now: datetime) -> set[Relationship]:
    return {each for each in relationships if not each.expired(now)}


async def assert_invariants(simulation: Simulation, step: int) -> None:
    """Assert the invariants of each organization, and the permissions of one person, in turn."""
    for organization in simulation.organizations:
        await assert_sides_agree(simulation, organization)
        await assert_administrator_remains(simulation, organization)
    everybody = [
        (organization, person)
        for organization in simulation.organizations
        for person in simulation.people(organization)
    ]
    everybody += [
        each for each in simulation.service_accounts if each[0] in simulation.organizations
    ]
    organization, person = everybody[step % len(everybody)]
    if organization.id not in simulation.behind:
        await assert_permissions_match_roles(simulation, organization, person)
        await assert_resource_permissions_match_grants(simulation, organization, person)


async def assert_invariants_for_all(simulation: Simulation) -> None:
    """Assert every invariant for everybody, once all positions have arrived."""
    for organization in [*simulation.organizations, *simulation.deleted]:
        await assert_sides_agree(simulation, organization)
        accounts = [
            account for where, account in simulation.service_accounts if where.id == organization.id
        ]
        for person in [*simulation.people(organization), *accounts]:
            await assert_permissions_match_roles(simulation, organization, person)
            await assert_resource_permissions_match_grants(simulation, organization, person)
