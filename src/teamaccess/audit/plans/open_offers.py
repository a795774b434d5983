"""What another catalog leaves behind although no relationship in SpiceDB shows it.

Pending invitations and access requests give no access yet, and names of custom roles never do.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.lookalikes import find_lookalike
from teamaccess.common.sentences.plurals import pluralize
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    CustomRole,
    Invitation,
    InvitationRole,
    OrganizationId,
)

GONE = "which the catalog does not have"
OF_OPERATORS = "which only operators can give with the catalog"
TAKEN_BY_THE_CATALOG = "which is a role of the catalog. Rename one of them"


@dataclass(frozen=True)
class OpenOffer:
    """A pending invitation or request that the other catalog makes impossible, or a name it takes."""

    organization: str
    kind: str
    """`invitation`, `access_request` or `custom_role`."""
    id: str
    names: str
    """The role or the action that goes, or the role whose name looks alike."""
    why: str = GONE

    def __str__(self) -> str:
        does = {"invitation": "offers", "access_request": "asks for", "custom_role": "looks like"}
        return (
            f"{self.organization}: the {self.kind.replace('_', ' ')} {self.id} {does[self.kind]} "
            f"{self.names}, {self.why}."
        )


async def find_open_offers(
    session: AsyncSession,
    organizations: Sequence[OrganizationId],
    present: Catalog,
    planned: Catalog,
) -> list[OpenOffer]:
    """Return what is left behind in these organizations, in the order of their ids."""
    reasons = dict(_reasons(present, planned))
    found = [
        OpenOffer(organization, kind, id, names, reasons[names])
        for kind, statement in (
            ("invitation", _offered(organizations, reasons)),
            ("access_request", _asked(organizations, reasons)),
        )
        if reasons
        for organization, id, names in await session.execute(statement)
    ]
    found += await _too_long(session, organizations, planned)
    found += await _lookalikes(session, organizations, present, planned)
    return sorted(found, key=lambda each: (each.organization, each.kind, each.id, each.names))


def _reasons(present: Catalog, planned: Catalog) -> Iterator[tuple[str, str]]:
    """Yield each role and action that nobody can give any more, with the reason."""
    for id, role in present.roles.items():
        if id not in planned.roles:
            yield id, GONE
        elif planned.roles[id].granted_by == "operator" != role.granted_by:
            yield id, OF_OPERATORS
    for id in present.actions.keys() - planned.actions.keys():
        yield id, GONE


def _offered(
    organizations: Sequence[OrganizationId], names: Iterable[str]
) -> Select[OrganizationId, str, str]:
    """Select the pending invitations with one of the roles."""
    return (
        select(InvitationRole.organization_id, InvitationRole.invitation_id, InvitationRole.role)
        .join(
            Invitation,
            and_(
                Invitation.organization_id == InvitationRole.organization_id,
                Invitation.id == InvitationRole.invitation_id,
            ),
        )
        .where(
            InvitationRole.organization_id.in_(organizations),
            InvitationRole.role.in_(names),
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
            Invitation.expires_at > func.clock_timestamp(),
        )
    )


def _asked(
    organizations: Sequence[OrganizationId], names: Iterable[str]
) -> Select[OrganizationId, str, str]:
    """Select the pending requests for one of the roles or actions."""
    wanted = func.coalesce(AccessRequest.role, AccessRequest.action)
    return select(AccessRequest.organization_id, AccessRequest.id, wanted).where(
        AccessRequest.organization_id.in_(organizations),
        AccessRequest.status == AccessRequestStatus.PENDING,
        wanted.in_(names),
    )


async def _too_long(
    session: AsyncSession, organizations: Sequence[OrganizationId], planned: Catalog
) -> list[OpenOffer]:
    """Return the pending requests for more time than the catalog lets anybody give."""
    wanted = func.coalesce(AccessRequest.role, AccessRequest.action)
    rows = await session.execute(
        select(AccessRequest.organization_id, AccessRequest.id, wanted, AccessRequest.hours).where(
            AccessRequest.organization_id.in_(organizations),
            AccessRequest.status == AccessRequestStatus.PENDING,
            AccessRequest.hours > planned.longest_days * 24,
        )
    )
    longest = pluralize(planned.longest_days, "day")
    return [
        OpenOffer(
            organization,
            "access_request",
            id,
            names,
            f"for {pluralize(hours, 'hour')}, and the catalog allows {longest} at most",
        )
        for organization, id, names, hours in rows
    ]


async def _lookalikes(
    session: AsyncSession,
    organizations: Sequence[OrganizationId],
    present: Catalog,
    planned: Catalog,
) -> list[OpenOffer]:
    """Return the custom roles that people would take for a role that the catalog brings."""
    new = _names(planned) - _names(present)
    if not new:
        return []
    rows = await session.execute(
        select(CustomRole.organization_id, CustomRole.id, CustomRole.name).where(
            CustomRole.organization_id.in_(organizations)
        )
    )
    return [
        OpenOffer(organization, "custom_role", id, taken, TAKEN_BY_THE_CATALOG)
        for organization, id, name in rows
        if (taken := find_lookalike(name, sorted(new))) is not None
    ]


def _names(catalog: Catalog) -> set[str]:
    return {text for role in catalog.roles.values() for text in (role.name, role.id)}
