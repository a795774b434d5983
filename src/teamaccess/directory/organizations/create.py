"""Create, rename and end organizations."""

import hashlib

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert

from teamaccess.access.authorize import OnlyInPerson, authorize
from teamaccess.changes import Change, OrganizationChange
from teamaccess.changes.events import record
from teamaccess.changes.events.organizations import (
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationRenamed,
)
from teamaccess.common.errors import Conflict, Forbidden, Invalid
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.organizations.founding import refuse_serial_founder
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    CustomRole,
    Grant,
    Invitation,
    Membership,
    Organization,
    Resource,
    RoleId,
    Team,
    User,
    is_organization_id,
)
from teamaccess.storage.base import suggest_organization_id


class InvalidOrganizationId(Invalid):
    """The id has a form that neither SpiceDB nor a URL takes."""

    message = (
        "{id!r} is not a valid organization id. Use 3 to 64 characters of a-z, 0-9 and hyphen, because "
        "the id is part of URLs and of SpiceDB's ids. For example: {example!r}."
    )


class OrganizationExists(Conflict):
    """The id is, or was, the id of an organization. Ids are never used again."""

    message = "The organization id {id} is taken, or was used before. Choose another id."


class OnlyOperatorsFound(Forbidden):
    """The deployment's catalog lets only operators create organizations."""

    message = "Only operators of this service can create organizations. Ask one of them."


async def create_organization(
    change: Change, id: str, name: str, founder: User | None, reason: str | None = None
) -> Organization:
    """Create an organization; a founder becomes its administrator if the catalog says so.

    Without a founder an operator creates it. Raises InvalidOrganizationId, InvalidText,
    OrganizationExists, OnlyOperatorsFound if the catalog leaves it to operators, OnlyInPerson for a
    service account, which belongs to one organization, SchemaMismatch, and what `refuse_serial_founder`
    does.
    """
    role = change.catalog.founder_role
    if founder is not None and (founder.is_service_account or not change.in_person):
        raise OnlyInPerson
    if founder is not None and role is None:
        raise OnlyOperatorsFound
    if not is_organization_id(id):
        raise InvalidOrganizationId(id=id, example=suggest_organization_id(id))
    if founder is not None:
        await change.prove_schema()
        await refuse_serial_founder(change, founder)
    organization: Organization | None = await change.session.scalar(
        insert(Organization)
        .values(
            id=id,
            name=clean("name", name, LONGEST_NAME),
            created_at=change.now,
            founded_by=founder.id if founder is not None else None,
        )
        .on_conflict_do_nothing()
        .returning(Organization)
    )
    if organization is None:
        raise OrganizationExists(id=id)
    if founder is not None and role is not None:
        founding = Membership.begin(organization.id, founder, [RoleId(role)], change.now)
        change.session.add(founding)
    await record(change, OrganizationCreated(), organization.id, organization.id, reason)
    return organization


async def rename_organization(change: OrganizationChange, name: str) -> Organization:
    """Give the organization another name; raises what `authorize` does and InvalidText."""
    await authorize(change, "change_settings")
    organization = await change.session.get_one(Organization, change.organization)
    before = organization.name
    organization.rename(clean("name", name, LONGEST_NAME))
    if organization.name == before:
        return organization  # nothing has changed, so there is nothing to record
    name_hash = hashlib.sha256(organization.name.encode()).hexdigest()
    details = OrganizationRenamed(name_hash=name_hash)
    await record(change, details, organization.id, organization.id)
    return organization


async def delete_organization(change: OrganizationChange) -> None:
    """End the organization with everything that belongs to it. Its id is never used again."""
    organization = change.organization
    await authorize(change, "delete_organization")
    for source in (Invitation, Grant, Membership, Team, CustomRole):
        await change.session.execute(delete(source).where(source.organization_id == organization))
    await change.session.execute(
        update(Resource)
        .where(Resource.organization_id == organization, Resource.removed_at.is_(None))
        .values(removed_at=change.now)
    )
    await change.session.execute(
        update(AccessRequest)
        .where(
            AccessRequest.organization_id == organization,
            AccessRequest.status == AccessRequestStatus.PENDING,
        )
        .values(status=AccessRequestStatus.WITHDRAWN, decided_at=change.now)
    )
    (await change.session.get_one(Organization, organization)).end(change.now)
    await record(change, OrganizationDeleted(), organization, organization)
