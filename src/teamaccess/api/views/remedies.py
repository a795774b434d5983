"""What would allow what somebody cannot do, as an auditor is told."""

import msgspec

from teamaccess.audit.people import Person
from teamaccess.remedies.steps import Step
from teamaccess.remedies.trial import Remedy


class StepView(msgspec.Struct):
    """One change: what kind of change it is, what it is about, and the same as a sentence."""

    change: str
    sentence: str
    role: str | None
    team: str | None
    resource: str | None
    invitation: str | None
    command: str | None

    @classmethod
    def of(cls, step: Step) -> "StepView":
        """Return it as it is shown."""
        return cls(
            change=step.change,
            sentence=step.sentence,
            role=step.role,
            team=step.team,
            resource=str(step.resource) if step.resource is not None else None,
            invitation=step.invitation,
            command=step.command,
        )


class RemedyView(msgspec.Struct):
    """Changes that would allow it, one after the other, what else comes with them, and who may make them.

    `more` people have what it takes by the look of it, and were not tried.
    """

    steps: list[StepView]
    adds: list[str]
    by: list[Person]
    more: int
    operator: bool

    @classmethod
    def of(cls, remedy: Remedy) -> "RemedyView":
        """Return it as it is shown."""
        return cls(
            steps=[StepView.of(step) for step in remedy.steps],
            adds=list(remedy.adds),
            by=[*remedy.by],
            more=remedy.more,
            operator=remedy.operator,
        )


class InsteadView(msgspec.Struct):
    """Who can do what is never for the one who was asked about, and how many others can."""

    people: list[Person]
    more: int
