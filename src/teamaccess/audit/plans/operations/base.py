"""The base class of proposed operations, and the types of their fields."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Self

import msgspec

from teamaccess.access.authorize import Ends, RoleTwice
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import naming_item
from teamaccess.common.formats.times import Instant
from teamaccess.common.text import LONGEST_NAME, LONGEST_REASON
from teamaccess.directory.invitations.offer import Letter
from teamaccess.directory.users.addresses import InvalidEmail, normalize_email
from teamaccess.directory.users.find import LONGEST_USER_REFERENCE, resolve_member
from teamaccess.storage import RoleId, UserId
from teamaccess.storage.base import LONGEST_LOCAL_ID

LocalId = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_LOCAL_ID)]
"""The id of a role, a team, an action, a request or a service account."""
DisplayName = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
"""A name that people read."""
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_REASON)]
UserReference = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_USER_REFERENCE)]
"""A member's id, e-mail address or external id. `external:` before it names an external id only."""
ObjectReference = Annotated[str, msgspec.Meta(min_length=3, max_length=300)]
"""An object as `type:id`, such as `webhook:wh_1`."""
End = Instant | None

Send = Callable[[OrganizationChange, Letter], Awaitable[object]]
"""Sends an invitation's mail after the commit."""


@dataclass(frozen=True)
class Invitations:
    """What an invitation needs in addition to the change."""

    key: bytes
    """The key with which invited addresses are hashed for SpiceDB."""
    send: Send | None = None
    """None in a rehearsal, which sends nothing."""


@dataclass(frozen=True)
class PlanContext:
    """What an operation needs in addition to the change."""

    invitations: Invitations
    number: int
    """The number of the operation in its plan."""

    def new_id(self, change: OrganizationChange, prefix: str) -> str:
        """Return an id that is the same in the plan and when the planned operation is made.

        Another plan gets another id, because every change moves the position.
        """
        [at] = change.ledger_positions
        seed = f"{at.organization} {at.position} {at.hash.hex()} {self.number}"
        return f"{prefix}_{sha256(seed.encode()).hexdigest()[:20]}"


class Proposed(msgspec.Struct, tag_field="change", forbid_unknown_fields=True, frozen=True):
    """One proposed operation."""

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Make it in an open change. Raises what the use case does."""
        raise NotImplementedError

    @classmethod
    async def make_consecutive(
        cls, run: Sequence[Self], change: OrganizationChange, context: PlanContext
    ) -> None:
        """Make several operations of this kind in a row. `context` is that of the first one.

        A kind that is often proposed many times overrides this to use fewer statements. Every refusal
        names the number of its operation.
        """
        for number, each in enumerate(run, start=context.number):
            with naming_item(number + 1):
                await each.make(change, PlanContext(context.invitations, number))
                await change.session.flush()


class RoleUntil(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A role with an optional expiry."""

    role: LocalId
    expires_at: End = None


async def find_user_id(change: OrganizationChange, text: str) -> UserId:
    """Return the id of a member, as `resolve_member` does, or of somebody whom the plan adds."""
    if change.newcomers:
        try:
            address = normalize_email(text)
        except InvalidEmail:
            address = ""
        if address in change.newcomers:
            return change.newcomers[address]
    return await resolve_member(change.session, change.organization, text)


ProposedRoles = Annotated[list[LocalId | RoleUntil], msgspec.Meta(max_length=100)]


def ends_by_role(roles: ProposedRoles) -> Ends:
    """Return the roles with their ends. Raises RoleTwice."""
    ends: dict[RoleId, datetime | None] = {}
    for proposed in roles:
        role = proposed if isinstance(proposed, str) else proposed.role
        if role in ends:
            raise RoleTwice(role=role)
        ends[RoleId(role)] = None if isinstance(proposed, str) else proposed.expires_at
    return ends
