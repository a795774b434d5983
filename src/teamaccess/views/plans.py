"""Plans: the proposed changes, and their effect."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.audit.plans.held_actions import HeldAction, ObjectGroups
from teamaccess.audit.plans.plan import AccessChange, Plan
from teamaccess.audit.plans.proposals import Proposals
from teamaccess.audit.questions.evidence import Evidence
from teamaccess.audit.questions.people import Person
from teamaccess.views.request import Reason, Request


class PlanInput(Request):
    """The changes to plan, another catalog, or both."""

    changes: Proposals = msgspec.field(default_factory=list)
    catalog: str | None = None
    """Another catalog, as YAML."""


class ChangesInput(Request):
    """The changes to make, all or none."""

    changes: Annotated[Proposals, Meta(min_length=1)]
    reason: Reason | None = None


class ChangesMade(msgspec.Struct):
    """The number of changes that were made."""

    changes: int


class HeldActionView(msgspec.Struct):
    """An action throughout the organization, or on an object."""

    action: str
    resource: str | None
    """The first object of its group; None for an action throughout the organization."""
    others: int
    """How many other objects are in the group. The plan's `alike` names them once for everybody."""

    @classmethod
    def of(cls, held: HeldAction, groups: ObjectGroups) -> "HeldActionView":
        """Return the view of a held action."""
        if held.on is None:
            return cls(held.action, None, 0)
        return cls(held.action, str(held.on), len(groups[held.on]) - 1)

    def __str__(self) -> str:
        """The action, and the objects."""
        if self.resource is None:
            return self.action
        more = f" and {self.others} more" if self.others else ""
        return f"{self.action} on {self.resource}{more}"


class AccessChangeView(Person, frozen=True):
    """What one user would gain and lose."""

    gains: list[HeldActionView]
    loses: list[HeldActionView]

    @classmethod
    def of(cls, change: AccessChange, groups: ObjectGroups) -> "AccessChangeView":
        """Return the view of a user's gains and losses."""
        gains = [HeldActionView.of(held, groups) for held in change.gains]
        loses = [HeldActionView.of(held, groups) for held in change.loses]
        return cls(change.person.user, change.person.email, change.person.name, gains, loses)


class RefusalView(msgspec.Struct):
    """Why the caller may not make the changes."""

    code: str
    detail: str


class PlanView(msgspec.Struct):
    """The effect of the changes. To make them, `If-Match` sends the `state` of the plan."""

    evidence: Evidence
    state: str
    catalog: str
    items: list[AccessChangeView]
    alike: dict[str, list[str]]
    """All objects of each group with more than one, by the object that the items name."""
    updates: list[str]
    orphans: list[str]
    refusal: RefusalView | None

    @classmethod
    def of(cls, plan: Plan) -> "PlanView":
        """Return the view of a plan."""
        refused = plan.refusal
        return cls(
            evidence=plan.evidence,
            state=plan.state,
            catalog=plan.catalog,
            items=[AccessChangeView.of(change, plan.object_groups) for change in plan.changes],
            alike=_groups(plan),
            updates=plan.updates,
            orphans=plan.orphans,
            refusal=RefusalView(refused.code, refused.detail) if refused else None,
        )

    def table(self) -> Iterator[list[str]]:
        """Yield the header and a row for each affected user."""
        yield ["who", "gains", "loses"]
        for change in self.items:
            gains = ", ".join(map(str, change.gains))
            loses = ", ".join(map(str, change.loses))
            yield [change.display_name, gains, loses]


def _groups(plan: Plan) -> dict[str, list[str]]:
    named = {
        on for change in plan.changes for _, on in (*change.gains, *change.loses) if on is not None
    }
    return {
        str(on): plan.object_groups[on]
        for on in sorted(named, key=str)
        if len(plan.object_groups[on]) > 1
    }
