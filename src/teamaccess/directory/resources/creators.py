"""The creator of an object. Four-eyes actions depend on it, so it never changes."""

from collections.abc import Collection

from sqlalchemy import select

from teamaccess.catalog import ResourceType
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.directory.members.find import UnknownMember
from teamaccess.ledger import Attribution
from teamaccess.storage import Membership, Resource, UserId, is_local_id


class CreatorDemanded(Invalid):
    """An action on resources of this type excludes their creator, so the creator must be known."""

    message = "A {type} needs a creator, because one of its actions excludes them. Send `creator`."


class CreatorRefused(Invalid):
    """No action on resources of this type depends on their creator."""

    message = (
        "A {type} has no creator, because none of its actions depends on one. Leave `creator` out."
    )


class CreatorIsMember(Invalid):
    """A service account acts for a member and names another creator."""

    message = (
        "You act for {member}, so they are the creator. Name them as `creator`, or leave it out."
    )


class CreatorKept(Conflict):
    """The resource was registered with another creator. Changing it would evade the four-eyes rule."""

    message = "The creator of {resource} can't change after registration. Send the first one."


def creator_of(
    attribution: Attribution,
    kind: ResourceType,
    named: UserId | None,
) -> UserId | None:
    """Return the creator of an object of the type, as the caller names them.

    The caller is responsible for the right name, and the ledger records the caller. A service account on
    behalf of a member registers what that member has created. Raises CreatorDemanded, CreatorRefused and
    CreatorIsMember.
    """
    both = attribution.on_behalf
    if kind.demands_creator and both is not None:
        if named not in (None, both.member):
            raise CreatorIsMember(member=both.member)
        return both.member
    if kind.demands_creator and named is None:
        raise CreatorDemanded(type=kind.id)
    if not kind.demands_creator and named is not None:
        raise CreatorRefused(type=kind.id)
    return named


def refuse_other_creator(registered: Resource, creator: UserId | None) -> None:
    """Raise CreatorKept if a registered object has another creator."""
    if registered.creator != creator:
        raise CreatorKept(resource=registered.reference)


async def refuse_unknown_creators(change: OrganizationChange, creators: Collection[UserId]) -> None:
    """Raise UnknownMember for a creator who is not a member. Suspended members count as members."""
    for creator in creators:
        if not is_local_id(creator):
            raise UnknownMember(user=creator, organization=change.organization)
    if not creators:
        return
    members = await change.session.scalars(
        select(Membership.user_id).where(
            Membership.organization_id == change.organization, Membership.user_id.in_(creators)
        )
    )
    for creator in sorted(set(creators) - set(members)):
        raise UnknownMember(user=creator, organization=change.organization)
