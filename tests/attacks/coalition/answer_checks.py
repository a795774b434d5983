"""Checks of the answers: to outsiders, for ended tokens, about other tenants and secrets."""

import json
import re
from collections.abc import Sequence

from sqlalchemy import func, select

from teamaccess.storage import Event
from tests.attacks.coalition.escalation_checks import State, Violation
from tests.attacks.coalition.scenario import Attempt, Scenario

REVEALING_STATUSES = {403, 409, 412}
"""Statuses from which an outsider learns that an organization exists."""
REFUSALS = ("refused", "acceptance_refused", "sign_in_refused")
SECRET = re.compile(r"ta_[A-Za-z0-9_-]{20,}")
GENERATED = re.compile(r"\b(?:usr|sa|inv|req|tok)_[0-9a-f]{20}\b")
ABOUT_ONESELF = {
    "only_in_person",
    "only_service_accounts_act",
    "nobody_to_act_for",
    "users_only",
    "idempotency_key_reused",  # a caller's own earlier request, from when they were a member
}
"""Refusals of the caller, before anything about an organization is revealed."""


class AnswerChecks:
    """Checks answers, and counts the events of other tenants' chains."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._members_ever: dict[str, set[str]] = {}
        """Every user that has ever been a member, by organization."""
        self._events: int | None = None

    def remember(self, state: State) -> None:
        """Record the members of each organization."""
        for organization, snapshot in state.items():
            self._members_ever.setdefault(organization, set()).update(snapshot.members())

    async def check(
        self, before: State, attempts: Sequence[Attempt], ended_tokens: set[str]
    ) -> None:
        """Raise Violation for an answer that must not be given.

        `ended_tokens` are the tokens that had ended before the attempts.
        """
        for attempt in attempts:
            inside = self._inside(before, attempt)
            if attempt.status >= 500 and attempt.status != 503:
                raise Violation(f"{attempt.route} was answered {attempt.status}")
            if (
                attempt.token in ended_tokens
                and attempt.status != 401
                and attempt.code != "not_found"
            ):
                raise Violation(f"{attempt.route} was answered {attempt.status} to an ended token")
            self._check_outsider(attempt, inside)
            self._check_leaks(attempt, inside)
            self._check_repeated_secrets(attempt)
        await self._check_victims_events(attempts)

    def _inside(self, before: State, attempt: Attempt) -> set[str]:
        """The organizations in which the actor was an active member. A pair needs both to be members."""
        if attempt.by is None:
            return set()
        here = {id for id, snapshot in before.items() if attempt.by.id in snapshot.members()}
        if attempt.on_behalf is not None:
            here &= {
                id for id, snapshot in before.items() if attempt.on_behalf.id in snapshot.members()
            }
        return here

    def _check_outsider(self, attempt: Attempt, inside: set[str]) -> None:
        if "{organization}" not in attempt.route or attempt.organization in inside:
            return
        if self._may_ask(attempt):
            return
        if attempt.done:
            raise Violation(
                f"{attempt.route} succeeded for a caller outside of {attempt.organization}"
            )
        if (
            attempt.status in REVEALING_STATUSES
            and attempt.code not in ABOUT_ONESELF
            and not _is_about_own_organization(attempt)
        ):
            raise Violation(
                f"{attempt.route} revealed the organization: {attempt.status} {attempt.code}"
            )

    def _may_ask(self, attempt: Attempt) -> bool:
        """Auditors of all organizations may audit, and callers may ask for the state of their own
        changes.
        """
        if attempt.by is not None and attempt.by.audits_all and "/audit/" in attempt.route:
            return True
        return attempt.route.endswith("/changes/{position}")

    def _check_leaks(self, attempt: Attempt, inside: set[str]) -> None:
        if attempt.answer is None or (attempt.by is not None and attempt.by.audits_all):
            return
        allowed = inside | {attempt.about.get("founded", ""), attempt.about.get("joined", "")}
        if attempt.route == "POST /v1/invitations/accept":
            allowed.add(attempt.organization)
        asked = f"{attempt.url} {json.dumps(attempt.body)} {attempt.headers}"
        answer = f"{attempt.answer.text} {dict(attempt.answer.headers)}"
        for organization, names in self._names().items():
            answer = answer.replace(
                f"@{organization}.example", ""
            )  # an address, which is a person's
            if organization in allowed:
                continue
            for name in names:
                if (
                    name in answer
                    and name not in asked
                    and not self._shared(name, allowed, attempt)
                ):
                    raise Violation(f"{attempt.route} revealed a name of {organization}: {name}")

    def _names(self) -> dict[str, set[str]]:
        """Ids to hide from outsiders, by organization: its own, and generated ones in it."""
        names: dict[str, set[str]] = {id: {id} for id in self._scenario.organizations}
        for organization, users in self._members_ever.items():
            names.setdefault(organization, set()).update(users)
        for known in self._scenario.objects:
            if GENERATED.fullmatch(known.id) or known.id.startswith("victim"):
                names.setdefault(known.organization, set()).add(known.id)
        return names

    def _shared(self, name: str, allowed: set[str], attempt: Attempt) -> bool:
        """Whether the name also belongs to somebody or something in an organization of the actor."""
        if attempt.by is not None and name in (attempt.by.id, attempt.by.account_of):
            return True
        if any(name != other and name in other and other in allowed for other in allowed):
            return True  # an id that begins with another organization's id
        known = {each.id for each in self._scenario.objects if each.organization in allowed}
        return name in known or any(name in self._members_ever.get(each, ()) for each in allowed)

    def _check_repeated_secrets(self, attempt: Attempt) -> None:
        if attempt.answer is None:
            return
        for secret in SECRET.findall(attempt.answer.text):
            if secret in self._scenario.secrets and secret != attempt.about.get("secret"):
                raise Violation(f"{attempt.route} returned a secret again")

    async def _check_victims_events(self, attempts: Sequence[Attempt]) -> None:
        """Raise Violation if others caused events in the victim's chain other than refusals."""
        async with self._scenario.deployment.service.reads() as session:
            count = await session.scalar(
                select(func.count()).where(
                    Event.chain == self._scenario.victim, Event.kind.not_in(REFUSALS)
                )
            )
        its_own = any(
            each.done and each.organization == self._scenario.victim and _is_honest(each)
            for each in attempts
        )
        if self._events is not None and count != self._events and not its_own:
            raise Violation(f"the victim's events went from {self._events} to {count}")
        self._events = count


def _is_about_own_organization(attempt: Attempt) -> bool:
    """Whether a refusal is about the organization of the service account itself."""
    assert attempt.answer is not None
    own = attempt.by.account_of if attempt.by is not None else ""
    return bool(own) and attempt.answer.json().get("organization") == own


def _is_honest(attempt: Attempt) -> bool:
    return attempt.by is not None and attempt.by.side == "honest"
