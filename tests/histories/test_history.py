"""Random histories of several organizations with every operation, even while writes fail.

After each step, rows, ledger and SpiceDB agree. TEAMACCESS_HISTORIES=<number> runs more histories.
TEAMACCESS_SEED=<number> repeats them.
"""

import asyncio
import os
import secrets
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.histories import invariants
from tests.histories.random_steps import add_first_members, take_random_step
from tests.histories.simulation import Simulation, create_simulation
from tests.support.deployment import Deployment
from tests.support.spicedb_proxy import behind_proxy

SETTINGS = settings(
    max_examples=int(os.environ.get("TEAMACCESS_HISTORIES", "3")),
    stateful_step_count=45,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=[Phase.reuse, Phase.generate],  # finding the shortest history takes minutes
)
SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))


class History(RuleBasedStateMachine):
    """Hypothesis draws the steps in a thread. They run in the event loop of the tests."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    simulation: Simulation
    step = 0

    def complete(self, operation: Coroutine[Any, Any, Any]) -> Any:
        """Run an operation in the event loop, and wait until it is complete."""
        return asyncio.run_coroutine_threadsafe(operation, self.loop).result(timeout=60)

    async def gather(self) -> Simulation:
        """Create the simulation."""
        raise NotImplementedError

    @initialize(luck=st.integers(0, 2**32))
    def begin(self, luck: int) -> None:
        self.simulation = self.complete(self.gather())
        self.complete(add_first_members(self.simulation, _chance(luck)))

    # Hypothesis repeats values, so the step's number is part of the randomness.
    @rule(luck=st.integers(0, 2**32))
    def something_happens(self, luck: int) -> None:
        note(self.complete(take_random_step(self.simulation, _chance(luck, self.step))))

    @invariant()
    def everything_holds(self) -> None:
        self.step += 1
        self.complete(invariants.assert_invariants(self.simulation, self.step))

    def teardown(self) -> None:
        if hasattr(self, "simulation"):
            self.complete(self.simulation.repair())
            self.complete(invariants.assert_invariants_for_all(self.simulation))


async def test_rows_ledger_and_spicedb_agree_after_any_history_in_fintoc(
    fintoc: Deployment, tmp_path: Path
) -> None:
    await _run_histories(fintoc, tmp_path)


async def test_rows_ledger_and_spicedb_agree_after_any_history_in_finicom(
    finicom: Deployment, tmp_path: Path
) -> None:
    await _run_histories(finicom, tmp_path)


def _chance(*luck: int) -> Random:
    return Random(repr(luck))  # noqa: S311 - no secret depends on it


async def _run_histories(deployment: Deployment, home: Path) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    async with behind_proxy(deployment, home=home) as (second, proxy):

        @seed(SEED)
        class SeededHistory(History):
            loop = asyncio.get_running_loop()

            async def gather(self) -> Simulation:
                return await create_simulation(second, proxy, other_process=deployment)

        await asyncio.to_thread(run_state_machine_as_test, SeededHistory, settings=SETTINGS)
