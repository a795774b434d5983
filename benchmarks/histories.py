"""Organizations that have been through much: a ledger of any length, all of it in SpiceDB."""

import asyncpg

from benchmarks import population
from teamaccess.common.progress import Meter
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

MEMBERS = 50
AT_ONCE = 1000
"""Positions of one statement. Each is a new version of the ledger's head, and none of them is cleared
away before its transaction has ended: of 8,000 in one statement each takes twice as long."""
BEFORE, AFTER = "support", "operations"

# A hundred thousand changes take an hour on the way that changes take, so the ledger is written
# directly, which numbers, dates and chains the entries as it does all others. Everybody's role is changed
# back and forth, equally often, so that the rows, which know nothing of it, are right in the end.
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


async def role_changes(service: Service, database: asyncpg.Pool, positions: int) -> OrganizationId:
    """Found an organization of fifty whose roles have been changed so often; return it.

    `positions` is a multiple of a hundred. Ours alone may be at work: a worker would bring in the same.
    """
    organization = await population.organization(service)
    await population.bring_in(service, organization, [BEFORE], MEMBERS)
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
