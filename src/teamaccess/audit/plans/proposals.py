"""The registry of the operations that a plan may propose, and how they are made together."""

from itertools import groupby
from typing import Annotated

import msgspec

from teamaccess.audit.plans.operations.base import Invitations, PlanContext, Proposed
from teamaccess.audit.plans.operations.members import (
    AddMember,
    Reactivate,
    Remove,
    SetMembershipEnd,
    SetRoles,
    Suspend,
)
from teamaccess.audit.plans.operations.objects import (
    AddGrant,
    RegisterObject,
    RemoveGrant,
    RemoveObject,
    SetGrants,
)
from teamaccess.audit.plans.operations.others import (
    ApproveRequest,
    CancelInvitation,
    CreateServiceAccount,
    DeclineRequest,
    DeleteServiceAccount,
    Invite,
    RenameOrganization,
    ResendInvitation,
    RevokeToken,
)
from teamaccess.audit.plans.operations.roles import CloneRole, DeleteRole, SetRole
from teamaccess.audit.plans.operations.teams import (
    CreateTeam,
    DeleteTeam,
    PutInTeam,
    RenameTeam,
    SetTeamRoles,
    TakeFromTeam,
)
from teamaccess.changes import OrganizationChange
from teamaccess.changes.time_limit import time_limit
from teamaccess.common.errors import Invalid, naming_item

MOST_CHANGES = 1000
"""Changes in one plan."""


class ChangeTwice(Invalid):
    """A plan proposes the same change twice."""

    message = "The change {change} is listed twice. List each change once."


Proposal = (
    AddMember
    | SetRoles
    | SetMembershipEnd
    | Suspend
    | Reactivate
    | Remove
    | Invite
    | ResendInvitation
    | CancelInvitation
    | SetRole
    | CloneRole
    | DeleteRole
    | CreateTeam
    | RenameTeam
    | DeleteTeam
    | SetTeamRoles
    | PutInTeam
    | TakeFromTeam
    | RegisterObject
    | RemoveObject
    | SetGrants
    | AddGrant
    | RemoveGrant
    | CreateServiceAccount
    | DeleteServiceAccount
    | RevokeToken
    | ApproveRequest
    | DeclineRequest
    | RenameOrganization
)
"""Every operation. `docs/reference/plans.md` lists them."""
Proposals = Annotated[list[Proposal], msgspec.Meta(max_length=MOST_CHANGES)]


async def make_all(
    proposals: list[Proposal], change: OrganizationChange, invitations: Invitations
) -> None:
    """Make the proposed changes in their order.

    A plan and a real change have the same time limit, because the organization's other changes wait for
    both. Raises ChangeTwice, PlanTakesTooLong, and what the use cases do.
    """
    _refuse_twice(proposals)
    first = 0
    async with time_limit(change):
        for kind, of_kind in groupby(proposals, _kind):
            run = list(of_kind)
            await kind.make_consecutive(run, change, PlanContext(invitations, first))
            await change.session.flush()
            first += len(run)


def _kind(proposal: Proposal) -> type[Proposed]:
    return type(proposal)


def _refuse_twice(proposals: list[Proposal]) -> None:
    seen = set()
    for number, proposal in enumerate(proposals, start=1):
        text = msgspec.json.encode(proposal).decode()
        if text in seen:
            with naming_item(number):
                raise ChangeTwice(change=text)
        seen.add(text)
