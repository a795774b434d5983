"""Authorize audit questions.

Allowed are members with `view_audit`, auditors of all organizations, and operators.
"""

from teamaccess.access.authorize import MissingPermission
from teamaccess.api.identity.authentication import SignInRequired
from teamaccess.api.identity.callers import Operator
from teamaccess.api.requests.edge import credential_of
from teamaccess.api.requests.parameters import AnyRequest
from teamaccess.audit.auditors.find import is_auditor
from teamaccess.directory.users.tokens import require_valid_credential
from teamaccess.ledger import OnBehalf, UnknownOrganization, database_time
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, User, is_organization_id


async def authorize_audit(
    request: AnyRequest, service: Service, organization: str
) -> OrganizationId:
    """Return the organization's id if the caller may audit it.

    Raises SignInRequired, UnknownOrganization and MissingPermission.
    """
    id = OrganizationId(organization)
    if isinstance(request.user, User):
        try:
            await service.reading.require(id, request.user.id, "view_audit")
        except (MissingPermission, UnknownOrganization):
            if not is_organization_id(id) or not await audits_every_organization(request, service):
                raise
    elif not isinstance(request.user, Operator):
        raise SignInRequired
    elif not is_organization_id(id):
        raise UnknownOrganization(organization=organization)
    return id


async def recheck_audit_access(request: AnyRequest, service: Service, id: OrganizationId) -> None:
    """Authorize the caller again, now that the answer is complete.

    SECURITY: a question may wait a minute for its turn. A caller who has signed out or lost the
    permission in that time must not get the answer. Raises the errors of `authorize_audit`,
    InvalidToken and InvalidApiToken.
    """
    async with service.reads() as session:
        await require_valid_credential(
            session, credential_of(request), await database_time(session)
        )
    await authorize_audit(request, service, id)


async def audits_every_organization(request: AnyRequest, service: Service) -> bool:
    """Return whether the caller is an auditor of all organizations, signed in in person."""
    if not isinstance(request.user, User) or isinstance(request.auth, OnBehalf):
        return False
    async with service.reads() as session:
        return await is_auditor(session, request.user.id, await database_time(session))
