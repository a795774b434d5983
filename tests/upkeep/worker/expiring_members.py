"""Many members with expiring roles, written as rows."""

from datetime import timedelta

from sqlalchemy import text

from teamaccess.delivery import Applier
from tests.support.agreement import operator_session
from tests.support.organization import Organization

ADD_MEMBERS = """
WITH made AS (
  INSERT INTO users (id, email)
  SELECT :acme || '-' || n, :acme || n || '@seats.example'
  FROM generate_series(1, cast(:count AS int)) AS n RETURNING id
), joined AS (
  INSERT INTO memberships (organization_id, user_id) SELECT :acme, id FROM made
)
INSERT INTO role_assignments (organization_id, user_id, role)
SELECT :acme, id, role FROM made, unnest(ARRAY['product', 'support']) AS role
"""
SET_EXPIRY = """
UPDATE role_assignments SET expires_at = clock_timestamp() + :more
WHERE organization_id = :acme AND role = 'support' AND user_id LIKE :acme || '-%'
"""


async def add_expiring_members(organization: Organization, count: int, more: timedelta) -> None:
    """Add members with two roles each, of which one expires after the given time."""
    for statement in (ADD_MEMBERS, SET_EXPIRY):
        async with operator_session(organization) as session:
            names = {"acme": organization.id, "count": count, "more": more}
            wanted = {name: names[name] for name in names if f":{name}" in statement}
            await session.execute(text(statement), wanted)
        await catch_up(organization)


async def catch_up(organization: Organization) -> None:
    """Wait until all that is decided has arrived."""
    applier: Applier = organization.deployment.service.ledger._applier
    await applier.catch_up(organization.id)
