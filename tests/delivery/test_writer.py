"""Writes that wait at the same time travel together, and one failure does not affect the others."""

import asyncio

from teamaccess.delivery.writer import LARGEST_WRITE, MOST_POSITIONS, merge_entries
from teamaccess.ledger import Entry
from teamaccess.relationships import Update, parse_update
from teamaccess.storage import OrganizationId
from tests.support.agreement import applied_positions
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import WRITE, behind_proxy

FORGED = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')
"""


def _entry(position: int, *updates: str) -> Entry:
    return Entry(
        organization=OrganizationId("acme"),
        position=position,
        hash=bytes([position % 256]) * 32,
        previous_hash=bytes([(position - 1) % 256]) * 32,
        updates=tuple(parse_update(update) for update in updates),
        actor="user:ana",
        request_id="request",
    )


def _texts(updates: tuple[Update, ...]) -> list[str]:
    return [str(update) for update in updates]


ONE = "organization:acme#support@user:bob"


def test_of_several_updates_of_one_relationship_the_last_one_counts() -> None:
    [write] = merge_entries([_entry(4, f"TOUCH {ONE}"), _entry(5, f"DELETE {ONE}")])
    assert _texts(write.updates) == [
        f"DELETE {ONE}",
        "DELETE organization:acme#head@ledger_position:3-030303030303",
        "TOUCH organization:acme#head@ledger_position:5-050505050505",
    ]


def test_the_first_position_has_no_head_before_it() -> None:
    [write] = merge_entries([_entry(1, f"TOUCH {ONE}")])
    assert _texts(write.updates) == [
        f"TOUCH {ONE}",
        "TOUCH organization:acme#head@ledger_position:1-010101010101",
    ]


def test_positions_are_divided_where_a_write_would_be_too_large() -> None:
    large = [
        _entry(
            position, *(f"TOUCH organization:acme#support@user:u{position}_{n}" for n in range(400))
        )
        for position in (2, 3, 4)
    ]
    writes = list(merge_entries(large))
    assert [[entry.position for entry in write.entries] for write in writes] == [[2, 3], [4]]
    assert all(write.size <= LARGEST_WRITE for write in writes)
    small = [_entry(position, f"TOUCH {ONE}") for position in range(2, 203)]
    assert [len(write.entries) for write in merge_entries(small)] == [
        MOST_POSITIONS,
        MOST_POSITIONS,
        1,
    ]


def test_every_position_keeps_its_marker_when_merged() -> None:
    [write] = merge_entries([_entry(4, f"TOUCH {ONE}"), _entry(5, f"DELETE {ONE}")])
    assert write.size == len(write.updates) + 2
    assert [each.last.position for each in write.split()] == [4, 5]


async def _sent(deployment: Deployment, *organizations: Organization) -> int:
    """Return how many writes another process sends to deliver everything pending at once."""
    async with behind_proxy(deployment) as (second, proxy):
        await asyncio.gather(
            *(second.service.applier.catch_up(organization.id) for organization in organizations)
        )
        return proxy.seen.count(WRITE)


async def test_consecutive_positions_of_an_organization_arrive_in_one_write(
    acme: Organization, fintoc: Deployment, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=[])
    before = len(await acme.ledger())
    for role in ("support", "product", "developer"):
        await _append(
            application_connection, acme, f"TOUCH organization:{acme.id}#{role}@user:{bob}"
        )
    assert len(await acme.ledger()) == before + 3
    assert await _sent(fintoc, acme) == 1
    assert len(await applied_positions(acme)) == before + 3
    assert await acme.deployment.check(acme.id, bob, "webhooks_create")


async def test_positions_of_several_organizations_arrive_in_few_writes(
    fintoc: Deployment, application_connection: Connection
) -> None:
    organizations = [await fintoc.create_organization(f"team{number}") for number in range(12)]
    for organization in organizations:
        await _append(
            application_connection,
            organization,
            f"TOUCH organization:{organization.id}#product@user:eve",
        )
    assert await _sent(fintoc, *organizations) <= 4
    for organization in organizations:
        assert len(await applied_positions(organization)) == len(await organization.ledger())


async def test_a_refused_or_already_applied_position_does_not_hold_up_the_rest_of_its_write(
    fintoc: Deployment, application_connection: Connection
) -> None:
    fine, there, wrong = [
        await fintoc.create_organization(name) for name in ("fine", "there", "wrong")
    ]
    for organization in (fine, there):
        await _append(
            application_connection,
            organization,
            f"TOUCH organization:{organization.id}#product@user:eve",
        )
    await _append(application_connection, wrong, f"TOUCH organization:{wrong.id}#overlord@user:eve")
    async with behind_proxy(fintoc) as (second, _):
        await second.service.applier.catch_up(there.id)
    await application_connection.execute(
        "UPDATE ledger_applications SET status = 'pending' WHERE organization_id = $1", there.id
    )
    async with behind_proxy(fintoc) as (second, proxy):
        applier = second.service.applier
        outcomes = await asyncio.gather(
            *(applier.catch_up(organization.id) for organization in (fine, there, wrong)),
            return_exceptions=True,
        )
        assert proxy.seen.count(WRITE) >= 2
    assert [isinstance(outcome, str) for outcome in outcomes] == [True, True, False]
    assert len(await applied_positions(fine)) == len(await fine.ledger())
    assert len(await applied_positions(there)) == len(await there.ledger())
    assert len(await applied_positions(wrong)) == len(await wrong.ledger()) - 1


async def _append(
    application_connection: Connection, organization: Organization, update: str
) -> None:
    """Append a ledger entry that no row stands behind."""
    await application_connection.execute(FORGED, organization.id, update)
