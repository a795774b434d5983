"""Maintenance with raw SQL, through a session of the ledger."""

from enum import Enum, auto
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger import OrganizationBusy
from tests.histories.simulation import Simulation
from tests.support.deployment import OPERATOR
from tests.support.organization import Organization

MINE = "organization_id = :here"
OF_ONE = f"{MINE} AND user_id = :one"
ACTIVE = f"{OF_ONE} AND suspended_at IS NULL"
"""The end of a suspended membership changes only with an event."""
GIVE = f"""
INSERT INTO role_assignments (organization_id, user_id, role)
SELECT organization_id, user_id, :role FROM memberships WHERE {OF_ONE} ON CONFLICT DO NOTHING
"""
A_MONTH_PASSES = f"""
UPDATE invitations SET sent_at = sent_at - interval '30 days',
  expires_at = expires_at - interval '30 days' WHERE {MINE}
"""
A_MONTH_PASSES_FOR_ROLES = f"""
UPDATE role_assignments SET
  expires_at = expires_at - interval '30 days' WHERE {MINE}
"""
A_MONTH_PASSES_FOR_MEMBERS = f"""
UPDATE memberships SET
  expires_at = expires_at - interval '30 days' WHERE {MINE} AND suspended_at IS NULL
"""
A_MONTH_PASSES_FOR_TEAMS = f"""
WITH places AS (
  UPDATE team_memberships SET
    expires_at = expires_at - interval '30 days' WHERE {MINE}
)
UPDATE team_roles SET
  expires_at = expires_at - interval '30 days' WHERE {MINE}
"""
INTO_TEAMS = f"""
INSERT INTO team_memberships (organization_id, team_id, user_id)
SELECT organization_id, id, :one FROM teams WHERE {MINE} ON CONFLICT DO NOTHING
"""
STATEMENTS = (
    f"UPDATE memberships SET suspended_at = now() WHERE {OF_ONE}",
    f"UPDATE memberships SET suspended_at = NULL WHERE {OF_ONE}",
    f"UPDATE memberships SET suspended_at = now() WHERE {MINE} AND user_id <> ALL (:kept)",
    f"UPDATE memberships SET organization_id = :there WHERE {OF_ONE}",
    f"UPDATE memberships SET user_id = :two WHERE {OF_ONE}",
    f"UPDATE memberships SET expires_at = now() + interval '1 day' WHERE {ACTIVE}",
    f"UPDATE memberships SET expires_at = now() - interval '1 second' WHERE {ACTIVE}",
    f"UPDATE memberships SET expires_at = NULL WHERE {ACTIVE}",
    f"DELETE FROM memberships WHERE {OF_ONE}",
    f"DELETE FROM memberships WHERE {MINE} AND user_id <> ALL (:kept) AND suspended_at IS NOT NULL",
    "INSERT INTO memberships (organization_id, user_id) VALUES (:here, :one) ON CONFLICT DO NOTHING",
    GIVE,
    f"UPDATE role_assignments SET role = :role WHERE {OF_ONE}",
    f"UPDATE role_assignments SET expires_at = now() + interval '1 day' WHERE {OF_ONE}",
    f"UPDATE role_assignments SET expires_at = now() - interval '1 second' WHERE {OF_ONE}",
    f"UPDATE role_assignments SET expires_at = NULL WHERE {OF_ONE}",
    f"DELETE FROM role_assignments WHERE {OF_ONE}",
    f"DELETE FROM role_assignments WHERE {MINE} AND role = :role AND user_id <> ALL (:kept)",
    INTO_TEAMS,
    f"UPDATE team_memberships SET user_id = :two WHERE {OF_ONE}",
    f"UPDATE team_memberships SET expires_at = now() - interval '1 second' WHERE {OF_ONE}",
    f"UPDATE team_roles SET expires_at = now() - interval '1 second' WHERE {MINE}",
    f"DELETE FROM team_memberships WHERE {OF_ONE}",
    f"DELETE FROM team_roles WHERE {MINE} AND role = :role",
    f"DELETE FROM teams WHERE {MINE}",
    A_MONTH_PASSES_FOR_TEAMS,
    A_MONTH_PASSES,
    A_MONTH_PASSES_FOR_ROLES,
    A_MONTH_PASSES_FOR_MEMBERS,
    f"UPDATE invitations SET expires_at = now() + interval '2 days' WHERE {MINE}",
    f"UPDATE invitations SET cancelled_at = now() WHERE {MINE} AND accepted_at IS NULL",
    f"UPDATE invitations SET cancelled_at = NULL WHERE {MINE} AND accepted_at IS NULL",
    f"DELETE FROM invitations WHERE {MINE}",
    f"UPDATE grants SET expires_at = now() - interval '1 second' WHERE {MINE}",
    f"UPDATE grants SET expires_at = NULL WHERE {OF_ONE}",
    f"UPDATE grants SET holder = :two WHERE {OF_ONE}",
    f"DELETE FROM grants WHERE {OF_ONE}",
    f"UPDATE resources SET removed_at = now() WHERE {MINE} AND removed_at IS NULL AND id = 'two'",
)


class Outcome(Enum):
    """How a script ends."""

    COMMIT = auto()
    DIE = auto()
    """Committed, but the process dies before anything arrives in SpiceDB."""
    ROLL_BACK = auto()


async def run(
    simulation: Simulation,
    here: Organization,
    there: Organization,
    script: list[tuple[str, bool]],
    who: int,
    role: str,
    ending: Outcome,
) -> str:
    """Run statements, each in a savepoint that is released or rolled back.

    They leave the last administrators alone, which only the product's rules protect.
    """
    kept = await simulation.administrators(here)
    others = [person.id for person in simulation.people(here) if person.id not in kept]
    if not others:
        return "nobody to do it to"
    one, two = (others[(who + each) % len(others)] for each in (0, 1))
    names: dict[str, Any] = {"here": here.id, "there": there.id, "one": one, "two": two}
    names |= {"role": role, "kept": sorted(kept)}
    ledger = simulation.deployment.service.ledger
    try:
        async with ledger.change(OPERATOR, *{here.id, there.id}) as change:
            for statement, keep in script:
                await _try(change.session, statement, names, keep=keep)
            if ending is Outcome.COMMIT:
                simulation.record_receipts(await ledger.commit(change))
            elif ending is Outcome.DIE:
                await change.session.commit()
                simulation.behind.update(entry.organization for entry in change.entries)
    except OrganizationBusy:
        return simulation.assert_proxy_fails()
    return f"{script} {names} {ending}"


async def _try(session: AsyncSession, sql: str, names: dict[str, Any], *, keep: bool) -> None:
    savepoint = await session.begin_nested()
    try:
        await session.execute(text(sql), names)
    except IntegrityError:
        keep = False  # two rows would have had the same key
    await (savepoint.commit() if keep else savepoint.rollback())
