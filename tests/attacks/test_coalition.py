"""A coalition of people and service accounts tries every route.

SpiceDB says after each step what each of them gained. The theorem: whatever members, service
accounts and backends do through the API, in any order, nobody gains a permission that no giver of
that step held. Other tenants are neither changed nor revealed, ended tokens do nothing, nobody
authorizes what they created, and an administrator without expiry remains. `make coalition` takes
many steps. TEAMACCESS_COALITION=<steps> sets how many, and TEAMACCESS_COALITION_SEED=<seed> repeats
a run. After a violation, TEAMACCESS_COALITION_SHRINK=1 searches for the fewest steps that show it.
"""

import os
import secrets
from collections import Counter

import pytest

from tests.api.requests import routes
from tests.attacks.coalition.escalation_checks import Violation
from tests.attacks.coalition.request_bodies import BODIES
from tests.attacks.coalition.run import run_attack
from tests.attacks.coalition.shrink import shrink
from tests.support.deployment import Deployment

ALL = sum(weight for weight, _ in BODIES.values())
"""The fewest steps that request every route."""
STEPS = int(os.environ.get("TEAMACCESS_COALITION", ALL))
CHOSEN = "TEAMACCESS_COALITION" in os.environ
"""Otherwise the seed chooses the catalog that gets all steps, and the others get a third."""
SEED = int(os.environ.get("TEAMACCESS_COALITION_SEED", secrets.randbelow(2**32)))


async def test_a_coalition_gains_nothing_in_fintoc(
    fintoc: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    await _attack(fintoc, capsys, 0)


async def test_a_coalition_gains_nothing_in_finicom(
    finicom: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    await _attack(finicom, capsys, 1)


async def test_a_coalition_gains_nothing_in_a_bank_with_roles_in_the_middle(
    bank: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    await _attack(bank, capsys, 2)


async def test_every_route_of_the_openapi_document_is_attacked(fintoc: Deployment) -> None:
    description = (await fintoc.http.get("/schema/openapi.json")).raise_for_status().json()
    described = {
        f"{method.upper()} {path}" for path, item in description["paths"].items() for method in item
    }
    assert described | set(map(str, routes())) == set(BODIES)


async def _attack(deployment: Deployment, capsys: pytest.CaptureFixture[str], number: int) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", flush=True)  # noqa: T201 - nobody can repeat a run without its seed

    catalog = deployment.service.catalog.name
    steps = STEPS if CHOSEN or number == SEED % 3 else STEPS // 3
    say(
        f"The coalition in {catalog}: TEAMACCESS_COALITION_SEED={SEED} TEAMACCESS_COALITION={steps}"
    )
    try:
        tally = await run_attack(deployment, steps, SEED, say)
    except Violation:
        if "TEAMACCESS_COALITION_SHRINK" in os.environ:
            await shrink(deployment, SEED, steps, say)
        raise
    assert steps < ALL or tally.accepted | tally.refused >= Counter(BODIES.keys())
