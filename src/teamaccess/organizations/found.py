"""Found, rename and end organizations, and make their administrators."""

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from teamaccess.errors import Conflict, Forbidden, Invalid
from teamaccess.events import record
from teamaccess.ledger import Change
from teamaccess.models import (
    Invitation,
    Membership,
    Organization,
    OrganizationId,
    RoleAssignment,
    RoleId,
    User,
    UserId,
    is_organization_id,
    new_user_id,
)
from teamaccess.organizations.access import may
from teamaccess.text import clean
from teamaccess.users.addresses import normalise

LONGEST_NAME = 100


class InvalidOrganizationId(Invalid):
    """{id} cannot be the id of an organization: 3 to 64 characters of a-z, 0-9 and hyphen."""


class OrganizationExists(Conflict):
    """The id {id} is taken, or was once; ids are never used again."""


class OnlyOperatorsFound(Forbidden):
    """Organizations are created by whoever operates this service; ask there."""


async def found(
    change: Change, id: str, name: str, founder: User | None, reason: str | None = None
) -> Organization:
    """Make an organization; a founder becomes its administrator where the catalog says so.

    Without a founder an operator makes it. Raises InvalidOrganizationId, InvalidText,
    OrganizationExists, and OnlyOperatorsFound where the catalog leaves it to them.
    """
    role = change.catalog.founder_role
    if founder is not None and role is None:
        raise OnlyOperatorsFound
    if not is_organization_id(id):
        raise InvalidOrganizationId(id=repr(id))
    made: Organization | None = await change.session.scalar(
        insert(Organization)
        .values(id=id, name=clean("name", name, LONGEST_NAME), created_at=change.now)
        .on_conflict_do_nothing()
        .returning(Organization)
    )
    if made is None:
        raise OrganizationExists(id=id)
    if founder is not None and role is not None:
        change.session.add(_membership(change, made.id, founder, RoleId(role)))
    record(change, "organization_created", made.id, f"organization:{made.id}", reason)
    return made


async def rename(
    change: Change, actor: UserId, organization: OrganizationId, name: str
) -> Organization:
    """Give the organization another display name."""
    await may(change, actor, organization, "change_settings")
    found_one = await change.session.get_one(Organization, organization)
    found_one.rename(clean("name", name, LONGEST_NAME))
    record(change, "organization_renamed", organization, f"organization:{organization}")
    return found_one


async def end(change: Change, actor: UserId, organization: OrganizationId) -> None:
    """End the organization with all memberships and invitations. Its id is never used again."""
    await may(change, actor, organization, "delete_organization")
    for source in (Invitation, Membership):
        await change.session.execute(delete(source).where(source.organization_id == organization))
    (await change.session.get_one(Organization, organization)).end(change.now)
    record(change, "organization_deleted", organization, f"organization:{organization}")


async def grant_administrator(
    change: Change, organization: OrganizationId, email: str, reason: str
) -> Membership:
    """Make somebody administrator without an end, as an operator; return the membership.

    Whoever is new becomes a user and a member; whoever is suspended is active again. "If you need
    to assign Administrator privileges to a user, please contact us" (fintoc's page).
    """
    user = await _user(change, normalise(email))
    role = RoleId(change.catalog.administrator)
    membership = await change.session.get(Membership, (organization, user.id))
    if membership is None:
        membership = _membership(change, organization, user, role)
        change.session.add(membership)
    else:
        await change.session.refresh(membership, ["assignments"])
        membership.suspended_at = None
        ends = {assignment.role: assignment.expires_at for assignment in membership.assignments}
        membership.replace_roles({**ends, role: None}, change.now)
    record(change, "administrator_granted", organization, f"user:{user.id}", reason)
    return membership


async def _user(change: Change, address: str) -> User:
    await change.session.execute(
        insert(User)
        .values(
            id=new_user_id(), email=address, created_at=change.now, tokens_valid_from=change.now
        )
        .on_conflict_do_nothing(index_elements=[User.email])
    )
    return (await change.session.scalars(select(User).where(User.email == address))).one()


def _membership(
    change: Change, organization: OrganizationId, user: User, role: RoleId
) -> Membership:
    assignment = RoleAssignment(role=role, granted_at=change.now, expires_at=None)
    return Membership(
        organization_id=organization,
        user_id=user.id,
        joined_at=change.now,
        suspended_at=None,
        user=user,
        assignments=[assignment],
    )
