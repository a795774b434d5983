"""Plan another catalog for every organization, compared with the catalog that SpiceDB was given last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from teamaccess.audit.plans.open_offers import OpenOffer, find_open_offers
from teamaccess.audit.plans.plan import Plan, plan
from teamaccess.audit.sources import AuditSources
from teamaccess.catalog import Catalog
from teamaccess.changes import Ledger
from teamaccess.common.errors import Conflict
from teamaccess.directory.schemas.in_force import schema_in_force
from teamaccess.ledger import (
    OrganizationBusy,
    OrganizationStopped,
    UnknownOrganization,
    database_time,
)
from teamaccess.storage import OrganizationId


@dataclass
class CatalogImpact:
    """What another catalog would change."""

    instead_of: str
    """The version of the catalog that is in force."""
    affected: list[Plan] = field(default_factory=list)
    """Plans of the organizations in which it changes somebody's actions or orphans a relationship."""
    offers: list[OpenOffer] = field(default_factory=list)
    """Pending invitations and access requests that name something which the catalog does not have."""
    left_out: list[str] = field(default_factory=list)
    """The organizations that could not be planned, each with the reason."""


async def plan_everywhere(
    sources: AuditSources,
    ledger: Ledger,
    catalog: Catalog,
    organizations: Sequence[OrganizationId],
    step: Callable[[], None],
) -> CatalogImpact:
    """Plan the catalog for one organization after another, and call `step` after each.

    An organization that cannot be planned is left out, and the others are still planned.
    """
    async with sources.reads() as session:
        applied = await schema_in_force(session, await database_time(session))
    if applied is not None:
        sources, ledger = replace(sources, catalog=applied.catalog), ledger.under(applied.catalog)
    impact = CatalogImpact(sources.catalog.version)
    async with sources.reads() as session:
        impact.offers = await find_open_offers(session, organizations, sources.catalog, catalog)
    for organization in organizations:
        try:
            made = await plan(sources, ledger, organization, [], catalog)
        except (Conflict, UnknownOrganization, OrganizationBusy, OrganizationStopped) as error:
            impact.left_out.append(f"{organization} ({error.detail})")
        else:
            impact.affected += [made] if made.changes or made.orphans else []
        step()
    return impact
