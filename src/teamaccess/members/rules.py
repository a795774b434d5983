"""The rules about giving and taking that hold on every path.

From the seeds: fintoc's Administrator "cannot be granted through the Dashboard"; administrators manage
members, and nobody else can make or unmake one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select

from teamaccess.catalog import Catalog
from teamaccess.errors import Conflict, Forbidden, Invalid
from teamaccess.ledger import Change
from teamaccess.models import Channel, Membership, RoleAssignment, RoleId


class UnknownRole(Invalid):
    """There is no role {role!r}. The roles are {roles}."""


class RoleTwice(Invalid):
    """The role {role!r} is named twice; name each role once."""


class OperatorOnlyRole(Forbidden):
    """The role {role} cannot be granted here; ask whoever operates this service."""


class RoleBeyondGiver(Forbidden):
    """Nobody gives what they do not have: of what these roles allow, you lack {missing}."""


class MemberAboveActor(Forbidden):
    """Nobody acts on someone above them: {user} holds what you lack, {missing}."""


class LastAdministrator(Conflict):
    """An organization keeps at least one active administrator without an end date; {user} is the last one of {organization}."""  # noqa: E501 - a sentence is one line


Ends = Mapping[RoleId, datetime | None]
"""Roles with their ends; None for a role without one."""


def refuse_unknown(catalog: Catalog, roles: Iterable[RoleId]) -> None:
    """Raise UnknownRole for a role that the catalog does not have."""
    for role in roles:
        if role not in catalog.roles:
            raise UnknownRole(role=role, roles=list(catalog.roles))


def refuse_operator_only(change: Change, roles: Iterable[RoleId]) -> None:
    """Raise OperatorOnlyRole, unless an operator gives them."""
    if change.attribution.channel is not Channel.OPERATOR:
        for role in sorted(roles):
            if change.catalog.roles[role].granted_by == "operator":
                raise OperatorOnlyRole(role=role)


def refuse_beyond(catalog: Catalog, roles: Iterable[RoleId], held: frozenset[str]) -> None:
    """Raise RoleBeyondGiver unless `held` has every action of every role."""
    if missing := sorted(catalog.actions_of(roles) - held):
        raise RoleBeyondGiver(missing=missing)


def refuse_above(catalog: Catalog, member: Membership, held: frozenset[str]) -> None:
    """Raise MemberAboveActor unless `held` has every action of the member's roles, ended ones too."""
    if missing := sorted(catalog.actions_of(member.roles) - held):
        raise MemberAboveActor(user=member.user_id, missing=missing)


def given(before: Sequence[RoleAssignment], after: Ends, now: datetime) -> frozenset[RoleId]:
    """Return the roles that a replacement gives: new ones, extended ones, and ended ones revived."""
    ends = {
        assignment.role: assignment.expires_at for assignment in before if assignment.active(now)
    }
    return frozenset(
        role for role, until in after.items() if role not in ends or _later(until, ends[role])
    )


def _later(until: datetime | None, before: datetime | None) -> bool:
    return before is not None and (until is None or until > before)


async def keep_one_administrator(change: Change, member: Membership) -> None:
    """Raise LastAdministrator if the member is the last active administrator with no end date.

    It is asked before they lose that, under the organization's lock: two requests at once cannot
    each leave the other as the last.
    """
    if not member.lasting_role(RoleId(change.catalog.administrator)):
        return
    administrators = await change.session.scalars(
        select(RoleAssignment.user_id)
        .join(
            Membership,
            (Membership.organization_id == RoleAssignment.organization_id)
            & (Membership.user_id == RoleAssignment.user_id),
        )
        .where(
            RoleAssignment.organization_id == member.organization_id,
            RoleAssignment.role == change.catalog.administrator,
            RoleAssignment.expires_at.is_(None),
            Membership.suspended_at.is_(None),
            Membership.expires_at.is_(None),
        )
        .order_by(RoleAssignment.user_id != member.user_id)
        .limit(2)
    )
    if list(administrators) == [member.user_id]:
        raise LastAdministrator(user=member.user_id, organization=member.organization_id)
