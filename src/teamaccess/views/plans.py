"""Plans: what is proposed, and what would come of it."""

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


class PlanWanted(Request):
    """What somebody thinks of changing."""

    changes: Proposals = msgspec.field(default_factory=list)
    catalog: str | None = None
    """Another catalog, as YAML."""


class ChangesWanted(Request):
    """What is to be changed, all or nothing."""

    changes: Annotated[Proposals, Meta(min_length=1)]
    reason: Reason | None = None


class ChangesMade(msgspec.Struct):
    """What was changed."""

    changes: int


class HoldingView(msgspec.Struct):
    """An action throughout the organization, or on an object."""

    action: str
    resource: str | None
    """The object, which stands for the others that are just like it."""
    others: int
    """How many they are; the plan's `alike` has their names once for everybody."""

    @classmethod
    def of(cls, holding: HeldAction, alike: ObjectGroups) -> "HoldingView":
        """Return it as it is shown."""
        if holding.on is None:
            return cls(holding.action, None, 0)
        return cls(holding.action, str(holding.on), len(alike[holding.on]) - 1)

    def __str__(self) -> str:
        """The action, and where."""
        if self.resource is None:
            return self.action
        more = f" and {self.others} more" if self.others else ""
        return f"{self.action} on {self.resource}{more}"


class ShiftView(Person, frozen=True):
    """What somebody would gain and lose."""

    gains: list[HoldingView]
    loses: list[HoldingView]

    @classmethod
    def of(cls, shift: AccessChange, alike: ObjectGroups) -> "ShiftView":
        """Return it as it is shown."""
        gains = [HoldingView.of(each, alike) for each in shift.gains]
        loses = [HoldingView.of(each, alike) for each in shift.loses]
        return cls(shift.person.user, shift.person.email, shift.person.name, gains, loses)


class RefusalView(msgspec.Struct):
    """Why whoever asks may not make the changes themselves."""

    code: str
    detail: str


class PlanView(msgspec.Struct):
    """What would come of it; `state` is what it was made of, for `If-Match` when it is made real."""

    evidence: Evidence
    state: str
    catalog: str
    items: list[ShiftView]
    alike: dict[str, list[str]]
    """By the objects in the items that stand for others, all of them."""
    updates: list[str]
    orphans: list[str]
    refusal: RefusalView | None

    @classmethod
    def of(cls, plan: Plan) -> "PlanView":
        """Return it as it is shown."""
        refused = plan.refusal
        return cls(
            evidence=plan.evidence,
            state=plan.state,
            catalog=plan.catalog,
            items=[ShiftView.of(each, plan.object_groups) for each in plan.changes],
            alike=_named(plan),
            updates=plan.updates,
            orphans=plan.orphans,
            refusal=RefusalView(refused.code, refused.detail) if refused else None,
        )

    def sheet(self) -> Iterator[list[str]]:
        """Yield the rows of a table."""
        yield ["who", "gains", "loses"]
        for each in self.items:
            gains, loses = (", ".join(map(str, has)) for has in (each.gains, each.loses))
            yield [each.display_name, gains, loses]


def _named(plan: Plan) -> dict[str, list[str]]:
    told = {on for each in plan.changes for _, on in (*each.gains, *each.loses) if on is not None}
    return {
        str(on): [str(each) for each in plan.object_groups[on]]
        for on in sorted(told, key=str)
        if len(plan.object_groups[on]) > 1
    }
