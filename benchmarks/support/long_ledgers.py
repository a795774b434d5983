"""Organizations with a ledger of any length, all of it delivered to SpiceDB."""

import asyncpg

from benchmarks.support import population
from teamaccess.common.progress import Meter
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

MEMBERS = 50
AT_ONCE = 1000
"""Positions in one statement. Each makes a new version of the head row, and PostgreSQL removes none of
them before the transaction ends. With 8,000 in one statement each takes twice as long."""
BEFORE, AFTER = "support", "operations"

# A hundred thousand real changes would take an hour. So the entries are inserted directly, and triggers
# number, date and chain them like all others. Every role is changed back and forth an even number of
# times, so the rows, which are not updated, are correct in the end.
CHANGE_ROLES = """
WITH members AS (
  SELECT array_agg(user_id ORDER BY user_id) AS ids, count(*) AS many
  FROM memberships WHERE organization_id = $1
), changes AS (
  SELECT number, ids[number % many + 1] AS who, number / many % 2 = 0 AS away
  FROM members, generate_series($2::bigint, $3::bigint - 1) number
)
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
SELECT $1,
  ARRAY[
    'DELETE organization:' || $1 || '#' || CASE WHEN away THEN $4 ELSE $5 END || '@user:' || who,
    'TOUCH organization:' || $1 || '#' || CASE WHEN away THEN $5 ELSE $4 END || '@user:' || who
  ],
  'operator:benchmarks', 'operator', 'benchmarks', $6
FROM changes ORDER BY number
"""


async def create_ledger(service: Service, database: asyncpg.Pool, positions: int) -> OrganizationId:
    """Create an organization of fifty members with this many positions of role changes; return its id.

    `positions` is a multiple of a hundred. No worker may run, because it would deliver the same entries.
    """
    organization = await population.create_organization(service)
    await population.import_members(service, organization, [BEFORE], MEMBERS)
    version = service.catalog.version
    with Meter(f"{organization}, {positions:,} positions", "positions", positions) as meter:
        for start in range(0, positions, AT_ONCE):
            end = min(start + AT_ONCE, positions)
            await database.execute(
                CHANGE_ROLES, organization, start, end, BEFORE, AFTER, version, timeout=60
            )
            await service.applier.catch_up(organization)
            meter.step(end - start)
    return organization
