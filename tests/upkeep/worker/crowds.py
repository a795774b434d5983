"""Many members at once, by their rows alone, with ends."""

from datetime import timedelta

from sqlalchemy import text

from teamaccess.delivery import Applier
from tests.support.sides import changing
from tests.support.world import Team

SEATS = """
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
END = """
UPDATE role_assignments SET expires_at = clock_timestamp() + :more
WHERE organization_id = :acme AND role = 'support' AND user_id LIKE :acme || '-%'
"""


async def crowd(team: Team, count: int, more: timedelta) -> None:
    """So many members with two roles each, of which one ends so much later, at once."""
    for statement in (SEATS, END):
        async with changing(team) as session:
            names = {"acme": team.id, "count": count, "more": more}
            wanted = {name: names[name] for name in names if f":{name}" in statement}
            await session.execute(text(statement), wanted)
        await brought_in(team)


async def brought_in(team: Team) -> None:
    """Wait until all that is decided has arrived."""
    applier: Applier = team.world.service.ledger._applier
    await applier.catch_up(team.id)
