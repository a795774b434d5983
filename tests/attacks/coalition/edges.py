"""What must hold of the answers: to outsiders, to ended tokens, about other tenants and secrets."""

import json
import re
from collections.abc import Sequence

from sqlalchemy import func, select

from teamaccess.storage import Event
from tests.attacks.coalition.judge import State, Violation
from tests.attacks.coalition.town import Move, Town

TELLS = {403, 409, 412}
"""Statuses from which an outsider learns that an organization is there."""
REFUSALS = ("refused", "acceptance_refused", "sign_in_refused")
SECRET = re.compile(r"ta_[A-Za-z0-9_-]{20,}")
GENERATED = re.compile(r"\b(?:usr|sa|inv|req|tok)_[0-9a-f]{20}\b")
ABOUT_ONESELF = {"only_in_person", "only_service_accounts_act", "nobody_to_act_for", "users_only"}
"""Refusals of who asks, before anything is said about an organization."""


class Watch:
    """Judges answers, and counts what other tenants' chains of events tell."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._ever: dict[str, set[str]] = {}
        """Every user that was ever in an organization, by organization."""
        self._events: int | None = None

    def remember(self, state: State) -> None:
        """Note who is where."""
        for organization, place in state.items():
            self._ever.setdefault(organization, set()).update(place.members())

    async def judge(self, before: State, moves: Sequence[Move], dead: set[str]) -> None:
        """Raise Violation for an answer that nobody should have had; `dead` are tokens ended before."""
        for move in moves:
            inside = self._inside(before, move)
            if move.status >= 500 and move.status != 503:
                raise Violation(f"{move.route} was answered {move.status}")
            if move.token in dead and move.status != 401 and move.code != "not_found":
                raise Violation(f"{move.route} was answered {move.status} to an ended token")
            self._outsiders(move, inside)
            self._leaks(move, inside)
            self._told_once(move)
        await self._victims_events(moves)

    def _inside(self, before: State, move: Move) -> set[str]:
        """The organizations in which the actor is an active member, and those they begin to be in."""
        if move.by is None:
            return set()
        here = {id for id, place in before.items() if move.by.id in place.members()}
        if move.on_behalf is not None:
            here &= {id for id, place in before.items() if move.on_behalf.id in place.members()}
        return here

    def _outsiders(self, move: Move, inside: set[str]) -> None:
        if "{organization}" not in move.route or move.organization in inside:
            return
        if self._may_ask(move):
            return
        if move.done:
            raise Violation(f"{move.route} was done for who is not in {move.organization}")
        if move.status in TELLS and move.code not in ABOUT_ONESELF and not _of_its_own(move):
            raise Violation(f"{move.route} told an outsider {move.status} {move.code}")

    def _may_ask(self, move: Move) -> bool:
        """Auditors of all organizations audit, and whoever made a change may ask how far it has come."""
        if move.by is not None and move.by.audits_all and "/audit/" in move.route:
            return True
        return move.route.endswith("/changes/{position}")

    def _leaks(self, move: Move, inside: set[str]) -> None:
        if move.answer is None or (move.by is not None and move.by.audits_all):
            return
        allowed = inside | {move.about.get("founded", ""), move.about.get("joined", "")}
        if move.route == "POST /v1/invitations/accept":
            allowed.add(move.organization)
        asked = f"{move.url} {json.dumps(move.body)} {move.headers}"
        answer = f"{move.answer.text} {dict(move.answer.headers)}"
        for organization, names in self._names().items():
            answer = answer.replace(
                f"@{organization}.example", ""
            )  # an address, which is a person's
            if organization in allowed:
                continue
            for name in names:
                if name in answer and name not in asked and not self._shared(name, allowed, move):
                    raise Violation(f"{move.route} told of {organization}: {name}")

    def _names(self) -> dict[str, set[str]]:
        """What must not be told outside, by organization: ids that nobody guesses, and its own."""
        names: dict[str, set[str]] = {id: {id} for id in self._town.organizations}
        for organization, users in self._ever.items():
            names.setdefault(organization, set()).update(users)
        for thing in self._town.things:
            if GENERATED.fullmatch(thing.id) or thing.id.startswith("victim"):
                names.setdefault(thing.organization, set()).add(thing.id)
        return names

    def _shared(self, name: str, allowed: set[str], move: Move) -> bool:
        """Whether it is the name of somebody who is or was in an organization of the actor's, too."""
        if move.by is not None and name in (move.by.id, move.by.account_of):
            return True
        if any(name != other and name in other and other in allowed for other in allowed):
            return True  # the id of one's own that begins with another's
        return any(name in self._ever.get(each, ()) for each in allowed)

    def _told_once(self, move: Move) -> None:
        if move.answer is None:
            return
        for secret in SECRET.findall(move.answer.text):
            if secret in self._town.secrets and secret != move.about.get("secret"):
                raise Violation(f"{move.route} told a secret again")

    async def _victims_events(self, moves: Sequence[Move]) -> None:
        """Whatever others do, in the victim's chain are only their refusals."""
        async with self._town.world.service.reads() as session:
            count = await session.scalar(
                select(func.count()).where(
                    Event.chain == self._town.victim, Event.kind.not_in(REFUSALS)
                )
            )
        its_own = any(
            each.done and each.organization == self._town.victim and _is_honest(each)
            for each in moves
        )
        if self._events is not None and count != self._events and not its_own:
            raise Violation(f"the victim's events went from {self._events} to {count}")
        self._events = count


def _of_its_own(move: Move) -> bool:
    """Whether a refusal is about the organization of the service account itself."""
    assert move.answer is not None
    own = move.by.account_of if move.by is not None else ""
    return bool(own) and move.answer.json().get("organization") == own


def _is_honest(move: Move) -> bool:
    return move.by is not None and move.by.side == "honest"
