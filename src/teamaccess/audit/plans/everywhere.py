"""Another catalog in every organization, compared with what SpiceDB was given last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from teamaccess.audit.audit import Audit
from teamaccess.audit.plans.plan import Plan, plan
from teamaccess.catalog import Catalog
from teamaccess.changes import Ledger
from teamaccess.common.errors import Conflict
from teamaccess.directory.schemas.in_force import in_force
from teamaccess.ledger import (
    OrganizationBusy,
    OrganizationStopped,
    UnknownOrganization,
    database_time,
)
from teamaccess.storage import OrganizationId


@dataclass
class Everywhere:
    """What would come of another catalog."""

    instead_of: str
    """The version of the one that is in force."""
    affected: list[Plan] = field(default_factory=list)
    """Of the organizations where somebody gains or loses something, or something loses its place."""
    left_out: list[str] = field(default_factory=list)
    """The organizations that could not be asked, and why."""


async def plan_everywhere(
    audit: Audit,
    ledger: Ledger,
    then: Catalog,
    organizations: Sequence[OrganizationId],
    step: Callable[[], None],
) -> Everywhere:
    """Ask one organization after the other, and call `step` after each.

    One that cannot be asked keeps the others not back.
    """
    async with audit.reads() as session:
        now = await in_force(session, await database_time(session))
    if now is not None:
        audit = replace(audit, catalog=now.catalog)
    found = Everywhere(audit.catalog.version)
    for each in organizations:
        try:
            made = await plan(audit, ledger, each, [], then)
        except (Conflict, UnknownOrganization, OrganizationBusy, OrganizationStopped) as why:
            found.left_out.append(f"{each} ({why.detail})")
        else:
            found.affected += [made] if made.shifts or made.orphans else []
        step()
    return found
