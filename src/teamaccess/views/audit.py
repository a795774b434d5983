"""Answers to an auditor's questions, with the remedies."""

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


NO_REMEDIES = Remedies()
UNEXPLAINED = ("unexplained", "", "", "", "", "")
"""What a spreadsheet says where the ledger knows of no way."""


class LinkView(msgspec.Struct):
    """A relationship that a way to an action consists of, and the changes that made it so."""

    relationship: str
    began: int
    position: int


class PathView(msgspec.Struct):
    """A way in which somebody can; granted by whoever completed it."""

    role: str | None
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
        """Return it as it is shown."""
        completed = decisions[path.since]
        return cls(
            role=path.role,
            custom=path.custom,
            team=path.team,
            since=completed.decided_at,
            until=path.expires_at,
            granted_by=completed.actor,
            channel=completed.channel,
            reason=completed.reason,
            position=path.since,
            links=[LinkView(link.text, link.began, link.position) for link in path.links],
        )


class HolderView(Person, frozen=True):
    """Somebody who can, and every way in which they can."""

    paths: list[PathView]


class WhoCanView(msgspec.Struct):
    """Everybody who can do something."""

    evidence: Evidence
    items: list[HolderView]
    changes: list[Decision]
    people: list[Person]

    @classmethod
    def of(cls, found: WhoCan) -> "WhoCanView":
        """Return it as it is shown."""
        return cls(
            evidence=found.evidence,
            items=[
                HolderView(
                    each.person.user,
                    each.person.email,
                    each.person.name,
                    [PathView.of(path, found.decisions) for path in each.paths],
                )
                for each in found.holders
            ],
            changes=_changes(found.decisions),
            people=found.people,
        )

    def sheet(self) -> Iterator[list[str]]:
        """Yield the rows of a spreadsheet, a row for each way."""
        names = display_names(self.people)
        yield [*("user", "email", "name", "role", "team", "since", "until"), "granted_by", "reason"]
        for each in self.items:
            who = [each.user, each.email or "", each.name or ""]
            for way in _ways(each.paths, names):
                yield [*who, *way]


class CanView(msgspec.Struct):
    """Something that somebody can do, and every way in which they can."""

    action: str
    resource: str | None
    paths: list[PathView]


class WhatCanView(msgspec.Struct):
    """Everything that somebody can do."""

    evidence: Evidence
    items: list[CanView]
    changes: list[Decision]
    people: list[Person]

    @classmethod
    def of(cls, found: WhatCan) -> "WhatCanView":
        """Return it as it is shown."""
        return cls(
            evidence=found.evidence,
            items=[
                CanView(
                    can.action,
                    str(can.on) if can.on else None,
                    [PathView.of(path, found.decisions) for path in can.paths],
                )
                for can in found.permitted
            ],
            changes=_changes(found.decisions),
            people=found.people,
        )

    def sheet(self) -> Iterator[list[str]]:
        """Yield the rows of a spreadsheet, a row for each way."""
        names = display_names(self.people)
        yield [*("action", "resource", "role", "team", "since", "until"), "granted_by", "reason"]
        for each in self.items:
            for way in _ways(each.paths, names):
                yield [each.action, each.resource or "", *way]


class RowView(Person, frozen=True):
    """A member, and the actions that they have."""

    actions: list[str]


class MatrixView(msgspec.Struct):
    """Who can do what."""

    changes: ClassVar[tuple[()]] = ()
    """It gives no ways, and so names no changes, and nobody who made them."""
    people: ClassVar[tuple[()]] = ()

    evidence: Evidence
    actions: list[str]
    items: list[RowView]

    @classmethod
    def of(cls, found: Matrix) -> "MatrixView":
        """Return it as it is shown."""
        return cls(
            evidence=found.evidence,
            actions=found.actions,
            items=[
                RowView(
                    each.person.user,
                    each.person.email,
                    each.person.name,
                    [action for action in found.actions if action in each.actions],
                )
                for each in found.members
            ],
        )

    def sheet(self) -> Iterator[list[str]]:
        """Yield the rows of a spreadsheet, a column for each action."""
        yield ["user", "email", "name", *self.actions]
        for each in self.items:
            who = [each.user, each.email or "", each.name or ""]
            yield [*who, *("yes" if action in each.actions else "" for action in self.actions)]


class ObstacleView(msgspec.Struct):
    """What keeps somebody from it: what they had once, and the change that ended it or its own end."""

    code: str
    sentence: str
    relationship: str | None
    expired_at: datetime | None
    change: Decision | None


class WhyView(msgspec.Struct):
    """Whether somebody can, and why or why not."""

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
    def of(cls, found: Why, remedies: Remedies = NO_REMEDIES) -> "WhyView":
        """Return it as it is shown."""
        obstacle = found.obstacle
        return cls(
            evidence=found.evidence,
            allowed=found.allowed,
            paths=[PathView.of(path, found.decisions) for path in found.paths],
            obstacle=None
            if obstacle is None
            else ObstacleView(
                code=obstacle.code,
                sentence=obstacle.sentence,
                relationship=obstacle.fact.text if obstacle.fact else None,
                expired_at=_expired(obstacle.fact, found.evidence.at),
                change=found.decisions[obstacle.fact.position] if obstacle.fact else None,
            ),
            changes=_changes(found.decisions),
            people=found.people,
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


def _ways(paths: list[PathView], names: DisplayNames) -> Iterator[tuple[str, ...]]:
    yield from (_told(path, names) for path in paths)
    if not paths:
        yield UNEXPLAINED


def _told(path: PathView, names: DisplayNames) -> tuple[str, ...]:
    return (
        path.role or "granted on it",
        path.team or "",
        path.since.isoformat(),
        path.until.isoformat() if path.until else "",
        actor_with_names(path.granted_by, names),
        path.reason or "",
    )


def _changes(decisions: Mapping[int, Decision]) -> list[Decision]:
    return [decisions[position] for position in sorted(decisions)]
