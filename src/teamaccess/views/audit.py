"""Answers to the audit questions, with the remedies."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar

import msgspec

from teamaccess.audit.questions.decisions import Decision
from teamaccess.audit.questions.evidence import Evidence
from teamaccess.audit.questions.matrix import Matrix
from teamaccess.audit.questions.people import DisplayNames, Person, actor_with_names, display_names
from teamaccess.audit.questions.what_can import WhatCan
from teamaccess.audit.questions.who_can import WhoCan
from teamaccess.audit.questions.why import Why
from teamaccess.audit.remedies.remedies import Remedies
from teamaccess.audit.remedies.steps import Step
from teamaccess.audit.remedies.trial import Remedy
from teamaccess.audit.state.facts import Fact
from teamaccess.audit.state.graph import Path


class StepView(msgspec.Struct):
    """One step of a remedy: the kind of change, its objects, and the same as a sentence."""

    change: str
    sentence: str
    role: str | None
    team: str | None
    resource: str | None
    invitation: str | None
    command: str | None

    @classmethod
    def of(cls, step: Step) -> "StepView":
        """Return the view of a step."""
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
    """A remedy: its steps in order, the other actions that they add, and the people who may make them.

    `more` other people hold the guards of the steps and were not tried.
    """

    steps: list[StepView]
    adds: list[str]
    by: list[Person]
    more: int
    operator: bool

    @classmethod
    def of(cls, remedy: Remedy) -> "RemedyView":
        """Return the view of a remedy."""
        return cls(
            steps=[StepView.of(step) for step in remedy.steps],
            adds=list(remedy.adds),
            by=[*remedy.by],
            more=remedy.more,
            operator=remedy.operator,
        )


class InsteadView(msgspec.Struct):
    """People who can do what the four-eyes rule always denies the user, and how many others can."""

    people: list[Person]
    more: int


NO_REMEDIES = Remedies()
UNEXPLAINED = ("unexplained", "", "", "", "", "")
"""The cells of a row that the ledger does not explain."""


class LinkView(msgspec.Struct):
    """A relationship of a path, the position since which it exists, and that of its latest update."""

    relationship: str
    began: int
    position: int


class PathView(msgspec.Struct):
    """A path by which a user can. `granted_by` is the actor of the decision that completed it."""

    role: str | None
    on_object: bool
    """Whether the role, or without a role the action, was granted on the object alone."""
    custom: bool
    team: str | None
    since: datetime
    until: datetime | None
    granted_by: str
    channel: str
    reason: str | None
    position: int
    links: list[LinkView]

    @classmethod
    def of(cls, path: Path, decisions: Mapping[int, Decision]) -> "PathView":
        """Return the view of a path, with the decision that completed it."""
        completed_by = decisions[path.since]
        return cls(
            role=path.role,
            on_object=path.on_object,
            custom=path.custom,
            team=path.team,
            since=completed_by.decided_at,
            until=path.expires_at,
            granted_by=completed_by.actor,
            channel=completed_by.channel,
            reason=completed_by.reason,
            position=path.since,
            links=[LinkView(link.text, link.began, link.position) for link in path.links],
        )


class HolderView(Person, frozen=True):
    """A user who can, and every path by which they can."""

    paths: list[PathView]


class WhoCanView(msgspec.Struct):
    """Everybody who can do an action."""

    evidence: Evidence
    items: list[HolderView]
    changes: list[Decision]
    people: list[Person]

    @classmethod
    def of(cls, answer: WhoCan) -> "WhoCanView":
        """Return the view of an answer."""
        return cls(
            evidence=answer.evidence,
            items=[
                HolderView(
                    holder.person.user,
                    holder.person.email,
                    holder.person.name,
                    [PathView.of(path, answer.decisions) for path in holder.paths],
                )
                for holder in answer.holders
            ],
            changes=_changes(answer.decisions),
            people=answer.people,
        )

    def table(self) -> Iterator[list[str]]:
        """Yield the header and a row for each path."""
        names = display_names(self.people)
        yield [*("user", "email", "name", "role", "team", "since", "until"), "granted_by", "reason"]
        for holder in self.items:
            person = [holder.user, holder.email or "", holder.name or ""]
            for cells in _path_rows(holder.paths, names):
                yield [*person, *cells]


class PermittedActionView(msgspec.Struct):
    """An action that the user can do, and every path by which they can."""

    action: str
    resource: str | None
    paths: list[PathView]


class WhatCanView(msgspec.Struct):
    """Everything that a user can do."""

    evidence: Evidence
    items: list[PermittedActionView]
    changes: list[Decision]
    people: list[Person]

    @classmethod
    def of(cls, answer: WhatCan) -> "WhatCanView":
        """Return the view of an answer."""
        return cls(
            evidence=answer.evidence,
            items=[
                PermittedActionView(
                    item.action,
                    str(item.on) if item.on else None,
                    [PathView.of(path, answer.decisions) for path in item.paths],
                )
                for item in answer.permitted
            ],
            changes=_changes(answer.decisions),
            people=answer.people,
        )

    def table(self) -> Iterator[list[str]]:
        """Yield the header and a row for each path."""
        names = display_names(self.people)
        yield [*("action", "resource", "role", "team", "since", "until"), "granted_by", "reason"]
        for item in self.items:
            for cells in _path_rows(item.paths, names):
                yield [item.action, item.resource or "", *cells]


class MatrixRowView(Person, frozen=True):
    """A member and their actions."""

    actions: list[str]


class MatrixView(msgspec.Struct):
    """Every active member by every action."""

    changes: ClassVar[tuple[()]] = ()
    """The matrix has no paths, so it names no decisions and no people behind them."""
    people: ClassVar[tuple[()]] = ()

    evidence: Evidence
    actions: list[str]
    items: list[MatrixRowView]

    @classmethod
    def of(cls, answer: Matrix) -> "MatrixView":
        """Return the view of the matrix."""
        return cls(
            evidence=answer.evidence,
            actions=answer.actions,
            items=[
                MatrixRowView(
                    member.person.user,
                    member.person.email,
                    member.person.name,
                    [action for action in answer.actions if action in member.actions],
                )
                for member in answer.members
            ],
        )

    def table(self) -> Iterator[list[str]]:
        """Yield the header, with a column for each action, and a row for each member."""
        yield ["user", "email", "name", *self.actions]
        for row in self.items:
            person = [row.user, row.email or "", row.name or ""]
            yield [*person, *("yes" if action in row.actions else "" for action in self.actions)]


class ObstacleView(msgspec.Struct):
    """Why a user cannot do it. A former relationship comes with the change or expiry that ended it."""

    code: str
    sentence: str
    relationship: str | None
    expired_at: datetime | None
    change: Decision | None


class WhyView(msgspec.Struct):
    """Whether a user can do an action, why or why not, and the remedies."""

    evidence: Evidence
    allowed: bool
    paths: list[PathView]
    obstacle: ObstacleView | None
    changes: list[Decision]
    people: list[Person]
    remedies: list[RemedyView]
    no_remedy: str | None
    instead: InsteadView | None

    @classmethod
    def of(cls, answer: Why, remedies: Remedies = NO_REMEDIES) -> "WhyView":
        """Return the view of an answer and its remedies."""
        obstacle = answer.obstacle
        return cls(
            evidence=answer.evidence,
            allowed=answer.allowed,
            paths=[PathView.of(path, answer.decisions) for path in answer.paths],
            obstacle=None
            if obstacle is None
            else ObstacleView(
                code=obstacle.code,
                sentence=obstacle.sentence,
                relationship=obstacle.fact.text if obstacle.fact else None,
                expired_at=_expired(obstacle.fact, answer.evidence.at),
                change=answer.decisions[obstacle.fact.position] if obstacle.fact else None,
            ),
            changes=_changes(answer.decisions),
            people=answer.people,
            remedies=[RemedyView.of(each) for each in remedies.items],
            no_remedy=remedies.none_because,
            instead=InsteadView(list(remedies.instead), remedies.more)
            if remedies.instead
            else None,
        )


def _expired(fact: Fact | None, now: datetime) -> datetime | None:
    if fact is None or fact.expires_at is None or fact.expires_at > now:
        return None
    return fact.expires_at


def _path_rows(paths: list[PathView], names: DisplayNames) -> Iterator[tuple[str, ...]]:
    yield from (_path_cells(path, names) for path in paths)
    if not paths:
        yield UNEXPLAINED


def _right_of(path: PathView) -> str:
    """Return the cell that says by which role somebody can."""
    if path.role is None:
        return "granted on it"
    return f"{path.role} on it" if path.on_object else path.role


def _path_cells(path: PathView, names: DisplayNames) -> tuple[str, ...]:
    return (
        _right_of(path),
        path.team or "",
        path.since.isoformat(),
        path.until.isoformat() if path.until else "",
        actor_with_names(path.granted_by, names),
        path.reason or "",
    )


def _changes(decisions: Mapping[int, Decision]) -> list[Decision]:
    return [decisions[position] for position in sorted(decisions)]
