"""An organization whose rows cannot be read is a finding, and never stops the comparison of others."""

import asyncpg
import pytest
from sqlalchemy import select

from teamaccess.storage import Finding, FindingKind
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import running_worker, wait_until
from tests.upkeep.reconciliation.drift import add_to_spicedb, compare_all, compare_one

WITHOUT_CHECKS = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT conname FROM pg_constraint
    WHERE conrelid = 'invitations'::regclass AND contype = 'c'
  LOOP EXECUTE format('ALTER TABLE invitations DROP CONSTRAINT %I', name); END LOOP;
END $$
"""


async def set_created_at(organization: Organization, time: str) -> None:
    """Change when the invitations were created, as the owner of the tables and past the ledger."""
    connection = await asyncpg.connect(organization.deployment.owner_url)
    async with connection.transaction():
        await connection.execute(WITHOUT_CHECKS)
    async with connection.transaction():
        await connection.execute(f"UPDATE invitations SET created_at = '{time}'")
        await connection.execute("SELECT ledger_drain()")
    await connection.close()


@pytest.fixture
async def acme(isolated: Deployment) -> Organization:
    """An organization with an invitation from a time that Python cannot read."""
    acme = await isolated.create_organization("acme")
    await acme.invite("carla", ["product"])
    await set_created_at(acme, "4713-01-01 BC")
    return acme


@pytest.fixture
async def globex(isolated: Deployment) -> Organization:
    """An organization with drift."""
    globex = await isolated.create_organization("globex")
    await add_to_spicedb(isolated, f"organization:{globex.id}#administrator@user:eve")
    return globex


async def open_drift(deployment: Deployment) -> dict[str, dict[str, object]]:
    """The details of open findings about drift, by organization."""
    async with deployment.service.reads() as session:
        rows = await session.execute(
            select(Finding.organization_id, Finding.details).where(
                Finding.kind == FindingKind.DRIFT, Finding.resolved_at.is_(None)
            )
        )
        return {row.organization_id: row.details for row in rows}


async def test_a_comparison_of_everything_names_the_organization_and_goes_on(
    isolated: Deployment, acme: Organization, globex: Organization
) -> None:
    results = await compare_all(isolated, max_deletes=10)
    assert results[acme.id].problem == "not_compared"
    assert results[globex.id].mended == 1
    assert list(await open_drift(isolated)) == [acme.id]


async def test_the_worker_records_a_finding_and_compares_the_others(
    isolated: Deployment, acme: Organization, globex: Organization
) -> None:
    async def both_found() -> bool:
        return (await open_drift(isolated)).keys() == {acme.id, globex.id}

    async with running_worker(isolated):
        await wait_until(both_found, seconds=20)


async def test_the_finding_closes_when_the_rows_can_be_read_again(
    isolated: Deployment, acme: Organization
) -> None:
    assert (await compare_one(acme)).problem == "not_compared"
    assert "why" in (await open_drift(isolated))[acme.id]
    await set_created_at(acme, "now")
    assert (await compare_one(acme)).problem is None
    assert await open_drift(isolated) == {}
