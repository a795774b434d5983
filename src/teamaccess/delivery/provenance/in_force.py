"""Ask SpiceDB whether the updates of a position are in force.

SECURITY: the marker of a position does not prove that. Everybody with SpiceDB's key can write the marker
and the head of a position without its updates.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from teamaccess.engine import FULLY_CONSISTENT, Consistency, Engine
from teamaccess.relationships import Revocation, Update


async def not_in_force(
    engine: Engine, updates: Iterable[Update], at: Consistency = FULLY_CONSISTENT
) -> list[Update]:
    """Return those of the updates that SpiceDB's relationships contradict.

    A relationship that has expired counts as gone, whether SpiceDB still holds it or not. Raises
    EngineUnavailable, and EngineRefused if SpiceDB does not remember the revision.
    """
    now = datetime.now(UTC)
    contradicted: list[Update] = []
    for update in updates:
        wanted = update.relationship
        if not isinstance(update, Revocation) and wanted.expired(now):
            continue
        held = await engine.find(wanted, at)
        gone = held is None or held.expired(now)
        if gone != isinstance(update, Revocation) or (not gone and held != wanted):
            contradicted.append(update)
    return contradicted
