"""Who may audit an organization: who has the permission there, auditors of all, and operators."""

from teamaccess.access.authorize import MissingPermission
from teamaccess.api.identity.authentication import SignInRequired
from teamaccess.api.identity.callers import Operator, refuse_ended, shown_by
from teamaccess.api.requests.parameters import AnyRequest
from teamaccess.audit.auditors.find import is_auditor
from teamaccess.ledger import OnBehalf, UnknownOrganization, database_time
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, User, is_organization_id


async def auditable(request: AnyRequest, service: Service, organization: str) -> OrganizationId:
    """Return the organization; raises UnknownOrganization and MissingPermission for who may not ask."""
    id = OrganizationId(organization)
    if isinstance(request.user, User):
        try:
            await service.reading.require(id, request.user.id, "view_audit")
        except (MissingPermission, UnknownOrganization):
            if not is_organization_id(id) or not await audits_all(request, service):
                raise
    elif not isinstance(request.user, Operator):
        raise SignInRequired
    elif not is_organization_id(id):
        raise UnknownOrganization(organization=organization)
    return id


async def still_auditable(request: AnyRequest, service: Service, id: OrganizationId) -> None:
    """Return if the caller may still have the answer, now that it is made.

    SECURITY: a question may have waited a minute for its turn. Whoever was signed out meanwhile, or is
    no auditor any more, gets nothing. Raises what `auditable` and `judge_again` do.
    """
    async with service.reads() as session:
        await refuse_ended(session, shown_by(request), await database_time(session))
    await auditable(request, service, id)


async def audits_all(request: AnyRequest, service: Service) -> bool:
    """Return whether who asks may audit every organization: an auditor of all, signed in themselves."""
    if not isinstance(request.user, User) or isinstance(request.auth, OnBehalf):
        return False
    async with service.reads() as session:
        return await is_auditor(session, request.user.id, await database_time(session))
