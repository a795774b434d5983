"""Who may audit an organization: who has the permission there, auditors of all, and operators."""

from teamaccess.api.authentication import SignInRequired
from teamaccess.api.callers import Operator
from teamaccess.api.parameters import AnyRequest
from teamaccess.auditors.find import is_auditor
from teamaccess.ledger import OnBehalf, UnknownOrganization, clock
from teamaccess.models import OrganizationId, User, is_organization_id
from teamaccess.organizations.access import MissingPermission
from teamaccess.service import Service


async def auditable(request: AnyRequest, service: Service, organization: str) -> OrganizationId:
    """Return the organization; raises UnknownOrganization and MissingPermission for who may not ask."""
    id = OrganizationId(organization)
    if isinstance(request.user, User):
        try:
            await service.reading.require(id, request.user.id, "view_audit")
        except (MissingPermission, UnknownOrganization):
            if isinstance(request.auth, OnBehalf) or not is_organization_id(id):
                raise
            async with service.reads() as session:
                if not await is_auditor(session, request.user.id, await clock(session)):
                    raise
    elif not isinstance(request.user, Operator):
        raise SignInRequired
    elif not is_organization_id(id):
        raise UnknownOrganization(organization=organization)
    return id
