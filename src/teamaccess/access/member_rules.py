"""The rules about acting on members that hold on every path."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from teamaccess.access.giving import Ends
from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, Forbidden
from teamaccess.storage import HeldRole, Membership, RoleAssignment, RoleId, User


class MemberAboveActor(Forbidden):
    """Nobody acts on someone above them: {user} holds what you lack, {missing}."""


class LastAdministrator(Conflict):
    """An organization keeps at least one active administrator without an end date; {user} is the last one of {organization}."""  # noqa: E501 - a sentence is one line


def refuse_above(member: Membership, theirs: frozenset[str], held: frozenset[str]) -> None:
    """Raise MemberAboveActor unless `held` has every action that is theirs, ended ones too."""
    if missing := sorted(theirs - held):
        raise MemberAboveActor(user=member.user_id, missing=missing)


def given(before: Sequence[HeldRole], after: Ends, now: datetime) -> frozenset[RoleId]:
    """Return the roles that a replacement gives: new ones, extended ones, and ended ones revived."""
    ends = {held.role: held.expires_at for held in before if held.active(now)}
    return frozenset(
        role for role, until in after.items() if role not in ends or later(until, ends[role])
    )


def later(until: datetime | None, before: datetime | None) -> bool:
    """Return whether an end lies after another; None is none, and after every end."""
    return before is not None and (until is None or until > before)


async def keep_one_administrator(change: Change, member: Membership) -> None:
    """Raise LastAdministrator if the member is the last active administrator with no end date.

    It is asked before they lose that, under the organization's lock: two requests at once cannot
    each leave the other as the last. A machine is none, for nobody could sign in as the administrator.
    """
    if member.user.is_service_account or not member.holds_permanently(
        RoleId(change.catalog.administrator)
    ):
        return
    administrators = await change.session.scalars(
        select(RoleAssignment.user_id)
        .join(
            Membership,
            (Membership.organization_id == RoleAssignment.organization_id)
            & (Membership.user_id == RoleAssignment.user_id),
        )
        .join(Membership.user)
        .where(
            User.service_account_of.is_(None),
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
