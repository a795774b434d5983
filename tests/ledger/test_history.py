"""Random histories of two organizations, with every operation there is, also while writes fail.

After each step the rows, the ledger and SpiceDB agree. TEAMACCESS_HISTORIES=soak tells more and
longer histories; TEAMACCESS_SEED=<number> tells the same ones again.
"""

import asyncio
import os
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults_tools import Writes, linked
from tests.ledger import deeds, scripts, truths
from tests.ledger.cast import GUESTS, Cast, gather_cast
from tests.world import Person, Team, World

SHORT = settings(
    max_examples=10,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=[Phase.reuse, Phase.generate],  # finding the shortest history takes minutes
)
SOAK = settings(
    SHORT, max_examples=300, stateful_step_count=100, phases=[*SHORT.phases, Phase.shrink]
)
LENGTH = {"short": SHORT, "soak": SOAK}[os.environ.get("TEAMACCESS_HISTORIES", "short")]
SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))

numbers = st.integers(0, 9)
guests = st.integers(0, len(GUESTS) - 1)
founder_mostly = st.sampled_from([0, 0, 0, 1, 2, 3, 4])
newest_mostly = st.sampled_from([-1, -1, -1, 0, 1])
ends = st.sampled_from(deeds.End)
steps = st.lists(st.tuples(st.integers(0, len(scripts.STATEMENTS) - 1), st.booleans()), max_size=4)


class History(RuleBasedStateMachine):
    """Hypothesis draws the steps in a thread; they happen in the event loop of the tests."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    cast: Cast
    step = 0

    async def gather(self) -> Cast:
        """Bring together who takes part."""
        raise NotImplementedError

    def happen(self, deed: Coroutine[Any, Any, Any]) -> Any:
        """Wait until something is done."""
        return asyncio.run_coroutine_threadsafe(deed, self.loop).result(timeout=60)

    def scene(self, where: int, who: int) -> tuple[Cast, Team, Person]:
        """An organization and somebody who acts there."""
        team = self.cast.team(where)
        return self.cast, team, self.cast.person(team, who)

    def named(self, roles: set[int]) -> list[str]:
        """Some roles of the catalog."""
        return sorted({self.cast.roles[number % len(self.cast.roles)] for number in roles})

    @initialize()
    def begin(self) -> None:
        self.cast = self.happen(self.gather())

    @rule(where=numbers, by=founder_mostly, guest=guests, roles=st.sets(numbers, max_size=2))
    def invite(self, where: int, by: int, guest: int, roles: set[int]) -> None:
        scene, named = self.scene(where, by), self.named(roles)
        self.happen(deeds.invite(*scene, self.cast.guests[guest], named))

    @rule(where=numbers, by=founder_mostly, which=newest_mostly)
    def resend(self, where: int, by: int, which: int) -> None:
        self.happen(deeds.resend(*self.scene(where, by), which))

    @rule(where=numbers, by=founder_mostly, which=newest_mostly)
    def cancel(self, where: int, by: int, which: int) -> None:
        self.happen(deeds.cancel(*self.scene(where, by), which))

    @rule(guest=guests, which=newest_mostly, stranger=st.none() | guests)
    def accept(self, guest: int, which: int, stranger: int | None) -> None:
        other = self.cast.guests[stranger] if stranger is not None else None
        self.happen(deeds.accept(self.cast, self.cast.guests[guest], which, other))

    @rule(guest=guests)
    def accept_the_newest(self, guest: int) -> None:
        self.happen(deeds.accept(self.cast, self.cast.guests[guest], -1, None))

    @rule(
        where=numbers,
        by=founder_mostly,
        whom=numbers,
        roles=st.dictionaries(numbers, ends, max_size=3),
    )
    def change_roles(self, where: int, by: int, whom: int, roles: dict[int, deeds.End]) -> None:
        cast, team, person = self.scene(where, by)
        named = {self.named({role})[0]: end for role, end in roles.items()}
        self.happen(deeds.change_roles(cast, team, person, cast.person(team, whom), named))

    @rule(
        where=numbers,
        by=founder_mostly,
        whom=numbers,
        verb=st.sampled_from(["suspend", "reactivate", "remove"]),
    )
    def act(self, where: int, by: int, whom: int, verb: str) -> None:
        cast, team, person = self.scene(where, by)
        self.happen(deeds.act(cast, team, person, cast.person(team, whom), verb))

    @rule(where=numbers, who=numbers)
    def leave(self, where: int, who: int) -> None:
        self.happen(deeds.leave(*self.scene(where, who)))

    @rule(where=numbers, by=founder_mostly)
    def rename(self, where: int, by: int) -> None:
        self.happen(deeds.rename(*self.scene(where, by)))

    @rule(where=numbers, by=founder_mostly, really=st.integers(0, 3))
    def end(self, where: int, by: int, really: int) -> None:
        if really == 0:
            self.happen(deeds.end(*self.scene(where, by)))

    @precondition(lambda self: len(self.cast.teams) < 3)
    @rule(where=numbers, by=numbers)
    def found(self, where: int, by: int) -> None:
        cast, _, person = self.scene(where, by)
        self.happen(deeds.found(cast, person))

    @rule(where=numbers, guest=guests)
    def grant(self, where: int, guest: int) -> None:
        self.happen(deeds.grant(self.cast, self.cast.team(where), self.cast.guests[guest]))

    @rule(
        here=numbers,
        there=numbers,
        script=steps,
        who=numbers,
        role=numbers,
        ending=st.sampled_from(scripts.Ending),
    )
    def maintain(
        self,
        here: int,
        there: int,
        script: list[tuple[int, bool]],
        who: int,
        role: int,
        ending: scripts.Ending,
    ) -> None:
        teams = self.cast.team(here), self.cast.team(there)
        [named] = self.named({role})
        self.happen(scripts.run(self.cast, *teams, script, who, named, ending))

    @rule(writes=st.sampled_from([Writes.FAIL, Writes.LOSE_ANSWERS]))
    def break_the_link(self, writes: Writes) -> None:
        if self.cast.link.writes is Writes.ARRIVE:
            self.cast.link.writes = writes
        else:
            self.happen(self.cast.mend())

    @invariant()
    def everything_holds(self) -> None:
        self.step += 1
        self.happen(truths.hold(self.cast, self.step))

    def teardown(self) -> None:
        if hasattr(self, "cast"):
            self.happen(self.cast.mend())
            self.happen(truths.hold_for_everybody(self.cast))


async def test_any_history_of_fintoc_s_leaves_rows_ledger_and_engine_in_agreement(
    fintoc: World, tmp_path: Path
) -> None:
    await _tell(fintoc, tmp_path)


async def test_any_history_of_finicom_s_leaves_rows_ledger_and_engine_in_agreement(
    finicom: World, tmp_path: Path
) -> None:
    await _tell(finicom, tmp_path)


async def _tell(world: World, home: Path) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    async with linked(world, home=home) as (second, link):

        @seed(SEED)
        class Told(History):
            loop = asyncio.get_running_loop()

            async def gather(self) -> Cast:
                return await gather_cast(second, link, elsewhere=world)

        await asyncio.to_thread(run_state_machine_as_test, Told, settings=LENGTH)
