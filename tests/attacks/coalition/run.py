"""Steps of the coalition in one town: each asked, learned from, and judged by SpiceDB's word."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from teamaccess.common.errors import Unavailable
from teamaccess.storage import OrganizationId
from tests.attacks.coalition.bodies import BODIES
from tests.attacks.coalition.chance import Chance
from tests.attacks.coalition.edges import Watch
from tests.attacks.coalition.graph import Oracle
from tests.attacks.coalition.honest import honest_move
from tests.attacks.coalition.judge import Judge, State, Violation
from tests.attacks.coalition.lessons import Lessons
from tests.attacks.coalition.meaning import Meaning
from tests.attacks.coalition.moves import attack, repeat
from tests.attacks.coalition.opening import open_town, reopen_den
from tests.attacks.coalition.town import Move, Town
from tests.support.world import World

MOST_ORGANIZATIONS = 9
SELDOM = 2
"""A route that comes up once or twice in a deck is always asked then, so that none is left out."""
A_TOWN = 400
"""Steps in one town, in which things are few enough to meet again."""
AGAIN = "The same again: TEAMACCESS_COALITION_SEED={seed} TEAMACCESS_COALITION={steps}"
SETTLES_SECONDS = 30.0


@dataclass
class Tally:
    """What was tried."""

    steps: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def count(self, move: Move) -> None:
        """Count one answer."""
        (self.accepted if move.done else self.refused)[move.route] += 1
        if not move.done:
            self.codes[f"{move.status} {move.code}"] += 1

    def add(self, other: "Tally") -> None:
        """Count what was tried elsewhere, too."""
        self.steps += other.steps
        self.seconds += other.seconds
        for mine, theirs in (
            (self.accepted, other.accepted),
            (self.refused, other.refused),
            (self.codes, other.codes),
        ):
            mine.update(theirs)

    def __str__(self) -> str:
        asked = self.accepted | self.refused
        routes = [
            f"{self.accepted[route]:7}{self.refused[route]:9}  {route}" for route in sorted(asked)
        ]
        codes = [f"{count:7}  {code}" for code, count in self.codes.most_common()]
        total = f"{self.accepted.total():7}{self.refused.total():9}  of {self.steps} steps"
        done = f"{len(self.accepted)} of {len(BODIES)} routes done, {len(asked)} asked"
        pace = f"{self.seconds:.0f} s"
        return "\n".join(["   done  refused", *routes, total, *codes, f"{done}, {pace}"])


class Run:
    """One town and its steps; the same seed and steps choose the same requests."""

    def __init__(
        self, town: Town, seed: int, routes: Iterable[str] = BODIES, honest: float = 0.16
    ) -> None:
        self.town = town
        self.tally = Tally()
        self.history: list[tuple[int, Move]] = []
        self._seed = seed
        self._weights = {route: BODIES[route][0] for route in sorted(routes)}
        self._honest = honest
        self._oracle = Oracle(town.world)
        meaning = Meaning(town.world.service.catalog)
        self._lessons = Lessons(town, meaning)
        self._judge = Judge(town, meaning)
        self._watch = Watch(town)
        self._state: State = {}

    @classmethod
    async def begin(
        cls, world: World, seed: int, routes: Iterable[str] = BODIES, honest: float = 0.16
    ) -> "Run":
        """Open a town, and look at it for the first time."""
        run = cls(await open_town(world), seed, routes, honest)
        run._state = await run._look()
        run._watch.remember(run._state)
        await run._watch.judge(run._state, [], set())
        return run

    async def take(self, steps: Iterable[int]) -> None:
        """Take these steps; raises Violation."""
        began = time.monotonic()
        try:
            for step in steps:
                await self._take(step)
        finally:
            self.tally.seconds += time.monotonic() - began

    async def _take(self, step: int) -> None:
        chance = Chance(f"{self._seed} {step}")
        moves = await self._choose(chance, step)
        dead = {token for each in self.town.principals for token in each.dead}
        await asyncio.gather(*(each.send(self.town.world) for each in moves))
        self.tally.steps += 1
        for move in moves:
            move.about["ended"] = move.token in dead
            self.history.append((step, move))
            self.tally.count(move)
            await self._settle(move)
            await self._lessons.learn(move)
        before, after = self._state, await self._look()
        self._state = after
        self._watch.remember(after)
        self._judge.judge(before, after, moves)
        await self._watch.judge(before, moves, dead)
        if not after[self.town.den].graph:
            await reopen_den(self.town)
            self._state = await self._look()

    async def _choose(self, chance: Chance, step: int) -> list[Move]:
        """One request, or two at once by two of the coalition."""
        now = await self.town.world.service.now()
        if self._weights[self._dealt(step)] > SELDOM:
            if chance.often(self._honest):
                return [honest_move(self.town, self._state, chance, step, now)]
            earlier = [move for _, move in self.history[-40:] if move.method != "GET"]
            if earlier and chance.often(0.06):
                return [repeat(chance.pick(earlier), self.town, chance)]
        count = 2 if chance.often(0.12) else 1
        return [self._attack(chance, step, number, now) for number in range(count)]

    def _attack(self, chance: Chance, step: int, number: int, now: datetime) -> Move:
        weights = dict(self._weights)
        if len(self.town.organizations) >= MOST_ORGANIZATIONS and len(weights) > 1:
            weights.pop("POST /v1/organizations", None)
        route = self._dealt(step) if number == 0 else chance.weighted(weights)
        return attack(self.town, self._state, chance, route, step, now)

    def _dealt(self, step: int) -> str:
        """The route of a step: all of them come up, as often as their weights say."""
        deck = [route for route, weight in self._weights.items() for _ in range(weight)]
        hand, place = divmod(step, len(deck))
        return Chance(f"{self._seed} deal {hand}").shuffled(deck)[place]

    async def _settle(self, move: Move) -> None:
        """Wait until a change that was committed is in force, which may take longer on a busy machine."""
        if move.answer is None or move.status != 202:
            return
        for told in move.answer.headers["Teamaccess-Change"].split(", "):
            organization = OrganizationId(told.rpartition(":")[0])
            async with asyncio.timeout(SETTLES_SECONDS):
                while True:
                    with suppress(Unavailable):
                        async with self.town.world.operator(organization, even_if_stopped=True):
                            break  # opening a change has brought in what was pending

    async def _look(self) -> State:
        known = self.town.organizations
        places = await asyncio.gather(
            *(self._oracle.place(each, self._state.get(each)) for each in known)
        )
        return dict(zip(known, places, strict=True))

    async def confirm(self) -> None:
        """Check every principal against every permission everywhere, one by one."""
        users = [each.id for each in self.town.principals]
        for organization, place in self._state.items():
            await self._oracle.confirm(organization, users, place)

    def told(self, last: int | None = None) -> str:
        """The requests, one a line, with labels for what the server has named."""
        shown = self.history[-last:] if last else self.history
        return self.labelled("\n".join(_line(step, move) for step, move in shown))

    def labelled(self, text: str) -> str:
        """The same with labels in place of generated ids."""
        for id, label in self.town.legend().items():
            text = text.replace(id, label)
        return text


def _line(step: int, move: Move) -> str:
    who = move.by.label if move.by is not None else "nobody"
    ended = " with an ended token" if move.about.get("ended") else ""
    body = f" {json.dumps(move.body)}" if move.body is not None else ""
    asked = f"{who}{ended}: {move.method} {move.url}{body} {move.headers or ''}".rstrip()
    return f"{step}. {asked} -> {move.status} {move.code}"


async def attack_for(world: World, steps: int, seed: int, say: Callable[[str], None]) -> Tally:
    """Take so many steps, in one town after the other; raises Violation with all that was found.

    After a violation the next town begins, so that a long run tells of more than one.
    """
    total, found = Tally(), list[str]()
    while total.steps < steps:
        run = await Run.begin(world, seed)
        try:
            await run.take(range(min(A_TOWN, steps - total.steps)))
            await run.confirm()
        except Violation as broken:
            say(run.told())
            found.append(
                f"{run.labelled(str(broken))}\n{AGAIN.format(seed=seed, steps=run.tally.steps)}"
            )
            say(found[-1])
        total.add(run.tally)
        say(f"{total.steps} steps in {total.seconds:.0f} s, the last town by the seed {seed}")
        seed += 1
    say(str(total))
    if found:
        raise Violation("\n".join(found))
    return total
