"""Found, rename and end organizations."""

from datetime import timedelta

from sqlalchemy import delete, not_, update
from sqlalchemy.dialects.postgresql import insert

from teamaccess.access.authorize import authorize
from teamaccess.access.selves import OnlyInPerson, is_in_person
from teamaccess.changes import Change
from teamaccess.changes.events import record
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
    OrganizationId,
    Resource,
    RoleId,
    Team,
    User,
    UserId,
    is_organization_id,
)


class InvalidOrganizationId(Invalid):
    """{id!r} cannot be the id of an organization: 3 to 64 characters of a-z, 0-9 and hyphen."""


class OrganizationExists(Conflict):
    """The id {id} is taken, or was once; ids are never used again."""


class OnlyOperatorsFound(Forbidden):
    """Organizations are created by whoever operates this service; ask there."""


async def create(
    change: Change, id: str, name: str, founder: User | None, reason: str | None = None
) -> Organization:
    """Make an organization; a founder becomes its administrator where the catalog says so.

    Without a founder an operator makes it. Raises InvalidOrganizationId, InvalidText,
    OrganizationExists, OnlyOperatorsFound where the catalog leaves it to them, OnlyInPerson for a
    service account, which is of one organization, SchemaMismatch, and what `founding` says of who creates
    many.
    """
    role = change.catalog.founder_role
    if founder is not None and (founder.is_service_account or not is_in_person(change)):
        raise OnlyInPerson
    if founder is not None and role is None:
        raise OnlyOperatorsFound
    if not is_organization_id(id):
        raise InvalidOrganizationId(id=id)
    if founder is not None:
        await change.prove_schema()
        await refuse_serial_founder(change, founder)
    made: Organization | None = await change.session.scalar(
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
    if made is None:
        raise OrganizationExists(id=id)
    if founder is not None and role is not None:
        change.session.add(Membership.begin(made.id, founder, [RoleId(role)], change.now))
    await record(change, "organization_created", made.id, f"organization:{made.id}", reason)
    return made


async def rename(
    change: Change, actor: UserId, organization: OrganizationId, name: str
) -> Organization:
    """Give the organization another display name."""
    await authorize(change, actor, organization, "change_settings")
    found_one = await change.session.get_one(Organization, organization)
    before = found_one.name
    found_one.rename(clean("name", name, LONGEST_NAME))
    if found_one.name == before:
        return found_one  # nothing happened, so there is nothing to record
    await record(change, "organization_renamed", organization, f"organization:{organization}")
    return found_one


async def end(change: Change, actor: UserId, organization: OrganizationId) -> None:
    """End the organization with everything that belongs to it. Its id is never used again."""
    await authorize(change, actor, organization, "delete_organization")
    await _withdraw_invitations(change, organization)
    for source in (Grant, Membership, Team, CustomRole):
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
    await record(change, "organization_deleted", organization, f"organization:{organization}")


async def _withdraw_invitations(change: Change, organization: OrganizationId) -> None:
    """Delete all invitations, but keep those of the last day as cancelled.

    SECURITY: they count for whoever sent them. Otherwise one person could send mails without end by
    ending each organization that has sent its share.
    """
    theirs = Invitation.organization_id == organization
    recent = Invitation.sent_at > change.now - timedelta(days=1)
    await change.session.execute(delete(Invitation).where(theirs, not_(recent)))
    await change.session.execute(
        update(Invitation)
        .where(theirs, Invitation.accepted_at.is_(None), Invitation.cancelled_at.is_(None))
        .values(cancelled_at=change.now)
    )
