"""Who created an object: four eyes are judged by it, so it is said once and for all."""

from collections.abc import Collection

from sqlalchemy import select

from teamaccess.catalog import ResourceType
from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.directory.members.find import UnknownMember
from teamaccess.ledger import Attribution
from teamaccess.storage import Membership, OrganizationId, Resource, UserId, is_local_id


class CreatorDemanded(Invalid):
    """A {type} has an action that is never for whoever created it: say who that is, as `creator`."""


class CreatorRefused(Invalid):
    """Nothing that can be done to a {type} depends on who created it: leave `creator` out."""


class CreatorIsMember(Invalid):
    """You act for {member}, who is then the creator: say so, or leave `creator` out."""


class CreatorKept(Conflict):
    """Who created {resource} was said when it was registered, and does not change."""


def creator_of(
    attribution: Attribution,
    kind: ResourceType,
    named: UserId | None,
) -> UserId | None:
    """Return who created an object of the type, as whoever registers it says.

    They vouch for it: the ledger keeps who did. A service account that acts for a member registers what
    that member has created. Raises CreatorDemanded, CreatorRefused and CreatorIsMember.
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


def refuse_another(registered: Resource, creator: UserId | None) -> None:
    """Raise CreatorKept where an object that is there is said to be somebody else's creation."""
    if registered.creator != creator:
        raise CreatorKept(resource=registered.reference)


async def refuse_strangers(
    change: Change, organization: OrganizationId, creators: Collection[UserId]
) -> None:
    """Raise UnknownMember for a creator who is no member; one who is suspended still is."""
    for creator in creators:
        if not is_local_id(creator):
            raise UnknownMember(user=creator, organization=organization)
    if not creators:
        return
    members = await change.session.scalars(
        select(Membership.user_id).where(
            Membership.organization_id == organization, Membership.user_id.in_(creators)
        )
    )
    for creator in sorted(set(creators) - set(members)):
        raise UnknownMember(user=creator, organization=organization)
