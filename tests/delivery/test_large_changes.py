"""Changes that do not fit into one write."""

from typing import Any

import pytest
from sqlalchemy import text

from teamaccess.ledger.errors import IndivisibleChange
from teamaccess.relationships import Delete, parse_update
from tests.support.agreement import (
    applied_positions,
    assert_agreement,
    ledger_entries,
    operator_session,
)
from tests.support.organization import Organization
from tests.support.spicedb_proxy import running_worker, wait_until

ADD_MEMBERS = """
WITH made AS (
  INSERT INTO users (id, email)
  SELECT :acme || '-' || n, :acme || n || '@seats.example'
  FROM generate_series(cast(:first AS int), cast(:last AS int)) AS n RETURNING id
), joined AS (
  INSERT INTO memberships (organization_id, user_id) SELECT :acme, id FROM made
)
INSERT INTO role_assignments (organization_id, user_id, role)
SELECT :acme, id, 'product' FROM made
"""
TURNOVER = """
WITH gone AS (
  DELETE FROM memberships WHERE organization_id = :acme AND user_id LIKE :acme || '-%1'
)
UPDATE role_assignments SET role = 'support'
WHERE organization_id = :acme AND user_id LIKE :acme || '-%' AND user_id NOT LIKE '%1'
"""
INVITE_ONE_ADDRESS = """
INSERT INTO invitations (organization_id, id, email, invitee, token_hash, invited_by, sent_at,
  times_sent, expires_at)
SELECT :acme, 'inv_' || n, n::text, repeat('0', 64), sha256(convert_to(:acme || n, 'UTF8')), :ana,
  now(), 1, now() + interval '1 day'
FROM generate_series(cast(:first AS int), cast(:last AS int)) AS n
"""
CANCEL_ALL = "UPDATE invitations SET cancelled_at = now() WHERE organization_id = :acme"
PENDING = (
    "SELECT count(*) FROM ledger_applications WHERE organization_id = :id AND status <> 'applied'"
)


async def test_a_large_change_takes_several_positions_and_all_arrive(acme: Organization) -> None:
    before = len(await acme.ledger())
    async with operator_session(acme) as session:
        await session.execute(text(ADD_MEMBERS), {"acme": acme.id, "first": 1, "last": 1000})
    await wait_until(lambda: _none_pending(acme))
    sizes = [len(updates) for updates in (await acme.ledger())[before:]]
    assert sizes == [900, 900, 200]
    assert len(await assert_agreement(acme)) == 2 + 2000
    assert await acme.deployment.check(acme.id, f"{acme.id}-1000", "webhooks_send_test")

    async with operator_session(acme) as session:
        await session.execute(text(TURNOVER), {"acme": acme.id})
    await wait_until(lambda: _none_pending(acme))
    turnover = (await ledger_entries(acme))[before + 3 :]
    updates = [[parse_update(each) for each in entry.updates] for entry in turnover]
    revoking = [all(isinstance(each, Delete) for each in position) for position in updates]
    assert revoking == [True, False, False]
    assert [len(position) for position in updates] == [200, 900, 900]
    for position in updates[1:]:
        deleted, touched = (
            {each.relationship.subject for each in position if isinstance(each, Delete) is verb}
            for verb in (True, False)
        )
        assert deleted == touched
    assert len(await assert_agreement(acme)) == 2 + 900 * 2


async def test_every_position_of_a_large_change_is_marked_with_its_hash(acme: Organization) -> None:
    async with running_worker(acme.deployment):
        async with operator_session(acme) as session:
            await session.execute(text(ADD_MEMBERS), {"acme": acme.id, "first": 1, "last": 500})
        await wait_until(lambda: _none_pending(acme))
    reported = {entry.position: entry.hash.hex()[:12] for entry in await ledger_entries(acme)}
    assert await applied_positions(acme) == reported
    assert len({entry.request_id for entry in await ledger_entries(acme)}) == 1


async def test_a_change_too_large_for_one_write_that_cannot_be_divided_is_not_committed(
    acme: Organization,
) -> None:
    before = await assert_agreement(acme)
    names = {"acme": acme.id, "ana": acme.administrator.id}
    async with operator_session(acme) as session:
        await session.execute(text(INVITE_ONE_ADDRESS), {**names, "first": 1, "last": 997})
    assert len(await assert_agreement(acme)) == len(before) + 997
    with pytest.raises(IndivisibleChange, match="1497 updates of email:0000"):
        await _invite_others(acme, {**names, "first": 1000, "last": 1499})
    assert len(await assert_agreement(acme)) == len(before) + 997


async def test_a_change_that_only_gives_or_only_takes_is_divided(acme: Organization) -> None:
    before, first = await assert_agreement(acme), len(await acme.ledger())
    names = {"acme": acme.id, "ana": acme.administrator.id}
    async with running_worker(acme.deployment):
        async with operator_session(acme) as session:
            await session.execute(text(INVITE_ONE_ADDRESS), {**names, "first": 1, "last": 2000})
        await wait_until(lambda: _none_pending(acme))
        assert len(await assert_agreement(acme)) == len(before) + 2000
        async with operator_session(acme) as session:
            await session.execute(text(CANCEL_ALL), {"acme": acme.id})
        await wait_until(lambda: _none_pending(acme))
    assert await assert_agreement(acme) == before
    sizes = [len(updates) for updates in (await acme.ledger())[first:]]
    assert sizes == [900, 900, 200] * 2


async def _invite_others(acme: Organization, names: dict[str, Any]) -> None:
    """Cancel all invitations to the address and create others, in one change."""
    async with operator_session(acme) as session:
        await session.execute(text(CANCEL_ALL), {"acme": acme.id})
        await session.execute(text(INVITE_ONE_ADDRESS), names)


async def _none_pending(organization: Organization) -> bool:
    async with organization.deployment.service.reads() as session:
        return bool(await session.scalar(text(PENDING), {"id": organization.id}) == 0)
