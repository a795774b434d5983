"""Steps of the coalition in one scenario: each is sent, recorded, and checked against SpiceDB."""

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
from tests.attacks.coalition.answer_checks import AnswerChecks
from tests.attacks.coalition.answer_records import AnswerRecords
from tests.attacks.coalition.attempts import attack, repeat_attempt
from tests.attacks.coalition.escalation_checks import EscalationChecks, State, Violation
from tests.attacks.coalition.honest_administrators import honest_attempt
from tests.attacks.coalition.relationship_effects import RelationshipEffects
from tests.attacks.coalition.request_bodies import BODIES
from tests.attacks.coalition.scenario import Attempt, Scenario
from tests.attacks.coalition.seeded_choices import SeededChoices
from tests.attacks.coalition.setup import create_scenario, recreate_own_organization
from tests.attacks.coalition.snapshots import SpiceDBReader
from tests.support.deployment import Deployment

MOST_ORGANIZATIONS = 9
RARE = 2
"""The highest weight of a rare route. A step that is due for a rare route always requests it."""
STEPS_PER_SCENARIO = 400
"""Steps in one scenario. It is small, so that later requests are about the same objects again."""
REPEAT = "To repeat it: TEAMACCESS_COALITION_SEED={seed} TEAMACCESS_COALITION={steps}"
SETTLES_SECONDS = 30.0


@dataclass
class AttemptCounts:
    """Counts of attempts and answers."""

    steps: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def count(self, attempt: Attempt) -> None:
        """Count one answer."""
        (self.accepted if attempt.done else self.refused)[attempt.route] += 1
        if not attempt.done:
            self.codes[f"{attempt.status} {attempt.code}"] += 1

    def add(self, other: "AttemptCounts") -> None:
        """Add the counts of another scenario."""
        self.steps += other.steps
        self.seconds += other.seconds
        for mine, others in (
            (self.accepted, other.accepted),
            (self.refused, other.refused),
            (self.codes, other.codes),
        ):
            mine.update(others)

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
    """One scenario and its steps. The same seed and steps choose the same requests."""

    def __init__(
        self, scenario: Scenario, seed: int, routes: Iterable[str] = BODIES, honest: float = 0.16
    ) -> None:
        self.scenario = scenario
        self.counts = AttemptCounts()
        self.history: list[tuple[int, Attempt]] = []
        self._seed = seed
        self._weights = {route: BODIES[route][0] for route in sorted(routes)}
        self._honest = honest
        self._spicedb = SpiceDBReader(scenario.deployment)
        effects = RelationshipEffects(scenario.deployment.service.catalog)
        self._records = AnswerRecords(scenario, effects)
        self._escalations = EscalationChecks(scenario, effects)
        self._answers = AnswerChecks(scenario)
        self._state: State = {}

    @classmethod
    async def begin(
        cls, deployment: Deployment, seed: int, routes: Iterable[str] = BODIES, honest: float = 0.16
    ) -> "Run":
        """Create a scenario and read its first state."""
        run = cls(await create_scenario(deployment), seed, routes, honest)
        run._state = await run._read_state()
        run._answers.remember(run._state)
        await run._answers.check(run._state, [], set())
        return run

    async def take(self, steps: Iterable[int]) -> None:
        """Take these steps; raises Violation."""
        began = time.monotonic()
        try:
            for step in steps:
                await self._take(step)
        finally:
            self.counts.seconds += time.monotonic() - began

    async def _take(self, step: int) -> None:
        seeded = SeededChoices(f"{self._seed} {step}")
        attempts = await self._choose(seeded, step)
        ended_tokens = {token for each in self.scenario.principals for token in each.ended_tokens}
        await asyncio.gather(*(each.send(self.scenario.deployment) for each in attempts))
        self.counts.steps += 1
        for attempt in attempts:
            attempt.about["ended"] = attempt.token in ended_tokens
            self.history.append((step, attempt))
            self.counts.count(attempt)
            await self._settle(attempt)
            await self._records.record(attempt)
        before, after = self._state, await self._read_state()
        self._state = after
        self._answers.remember(after)
        self._escalations.check(before, after, attempts)
        await self._answers.check(before, attempts, ended_tokens)
        if not after[self.scenario.own_organization].graph:
            await recreate_own_organization(self.scenario)
            self._state = await self._read_state()

    async def _choose(self, seeded: SeededChoices, step: int) -> list[Attempt]:
        """One request, or two concurrent ones by two members of the coalition."""
        now = await self.scenario.deployment.service.now()
        if self._weights[self._route_of(step)] > RARE:
            if seeded.chance(self._honest):
                return [honest_attempt(self.scenario, self._state, seeded, step, now)]
            earlier = [attempt for _, attempt in self.history[-40:] if attempt.method != "GET"]
            if earlier and seeded.chance(0.06):
                return [repeat_attempt(seeded.pick(earlier), self.scenario, seeded)]
        count = 2 if seeded.chance(0.12) else 1
        return [self._attack(seeded, step, number, now) for number in range(count)]

    def _attack(self, seeded: SeededChoices, step: int, number: int, now: datetime) -> Attempt:
        weights = dict(self._weights)
        if len(self.scenario.organizations) >= MOST_ORGANIZATIONS and len(weights) > 1:
            weights.pop("POST /v1/organizations", None)
        route = self._route_of(step) if number == 0 else seeded.weighted(weights)
        return attack(self.scenario, self._state, seeded, route, step, now)

    def _route_of(self, step: int) -> str:
        """The route of a step. Each route appears as often as its weight says."""
        deck = [route for route, weight in self._weights.items() for _ in range(weight)]
        hand, place = divmod(step, len(deck))
        return SeededChoices(f"{self._seed} deal {hand}").shuffled(deck)[place]

    async def _settle(self, attempt: Attempt) -> None:
        """Wait until a committed change is in force, which may take longer on a busy machine."""
        if attempt.answer is None or attempt.status != 202:
            return
        for reported in attempt.answer.headers["Teamaccess-Change"].split(", "):
            organization = OrganizationId(reported.rpartition(":")[0])
            async with asyncio.timeout(SETTLES_SECONDS):
                while True:
                    with suppress(Unavailable):
                        async with self.scenario.deployment.operator(
                            organization, even_if_stopped=True
                        ):
                            break  # opening a change has delivered what was pending

    async def _read_state(self) -> State:
        known = self.scenario.organizations
        snapshots = await asyncio.gather(
            *(self._spicedb.snapshot(each, self._state.get(each)) for each in known)
        )
        return dict(zip(known, snapshots, strict=True))

    async def confirm(self) -> None:
        """Check every principal against every permission everywhere, one by one."""
        users = [each.id for each in self.scenario.principals]
        for organization, snapshot in self._state.items():
            await self._spicedb.confirm(organization, users, snapshot)

    def report(self, last: int | None = None) -> str:
        """The requests, one a line, with labels in place of generated ids."""
        shown = self.history[-last:] if last else self.history
        return self.with_labels("\n".join(_line(step, attempt) for step, attempt in shown))

    def with_labels(self, text: str) -> str:
        """Replace generated ids by labels."""
        for id, label in self.scenario.legend().items():
            text = text.replace(id, label)
        return text


def _line(step: int, attempt: Attempt) -> str:
    who = attempt.by.label if attempt.by is not None else "nobody"
    ended = " with an ended token" if attempt.about.get("ended") else ""
    body = f" {json.dumps(attempt.body)}" if attempt.body is not None else ""
    asked = f"{who}{ended}: {attempt.method} {attempt.url}{body} {attempt.headers or ''}".rstrip()
    return f"{step}. {asked} -> {attempt.status} {attempt.code}"


async def run_attack(
    deployment: Deployment, steps: int, seed: int, say: Callable[[str], None]
) -> AttemptCounts:
    """Take steps, in one scenario after the other.

    Raises Violation with everything that was found. After a violation, the next scenario begins, so
    that a long run reports more than one.
    """
    total, found = AttemptCounts(), list[str]()
    while total.steps < steps:
        run = await Run.begin(deployment, seed)
        try:
            await run.take(range(min(STEPS_PER_SCENARIO, steps - total.steps)))
            await run.confirm()
        except Violation as broken:
            say(run.report())
            found.append(
                f"{run.with_labels(str(broken))}\n{REPEAT.format(seed=seed, steps=run.counts.steps)}"
            )
            say(found[-1])
        total.add(run.counts)
        say(f"{total.steps} steps in {total.seconds:.0f} s, the last scenario with the seed {seed}")
        seed += 1
    say(str(total))
    if found:
        raise Violation("\n".join(found))
    return total
