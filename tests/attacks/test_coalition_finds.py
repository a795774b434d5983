"""With one rule removed from the product, the coalition finds the gap."""

from dataclasses import dataclass
from typing import Any

import pytest

from teamaccess.delivery.position import LedgerPosition
from tests.attacks.coalition.escalation_checks import Violation
from tests.attacks.coalition.request_bodies import ACCOUNT, ORGANIZATION, RESOURCE
from tests.attacks.coalition.run import Run
from tests.support.deployment import Deployment

STEPS = 400
"""The coalition finds each gap within these steps, and most within a few dozen."""
SEED = 1


@dataclass(frozen=True)
class Sabotage:
    """A rule that is removed from the product, and the routes that reveal its absence."""

    rule: str
    instead: Any
    found: str
    """The violation that the checks must then report."""
    routes: list[str]
    honest: float = 0.3
    """The share of steps that the honest administrator takes."""
    deployment: str = "finicom"
    """The fixture of the deployment, whose catalog lets members below administrators reach the rule."""


def allows(*_: Any) -> None:
    """Refuse nothing."""


async def allows_async(*_: Any) -> None:
    """Refuse nothing, as a coroutine."""


async def asks_the_member_alone(
    self: LedgerPosition, engine: Any, both: Any, asked: Any, _: str, **more: Any
) -> Any:
    """Let a service account do whatever the member may."""
    return await self.permitted_on_each(engine, [both.member], asked, **more)


MEMBER = f"{ORGANIZATION}/members/{{user}}"
TEAM = f"{ORGANIZATION}/teams/{{team}}"
ACCEPTANCE = ["POST /v1/invitations/accept", f"POST {ORGANIZATION}/invitations"]
SABOTAGES = {
    "giving beyond the giver": Sabotage(
        "access.authorize.refuse_beyond", allows, "no giver held", [f"PUT {MEMBER}/roles"]
    ),
    "giving roles that the catalog does not name": Sabotage(
        "access.holdings.Holdings.givable",
        lambda holdings, _: holdings.roles,
        "no giver held|taken away",
        [f"PUT {MEMBER}/roles"],
    ),
    "extending somebody above": Sabotage(
        "access.authorize.refuse_above", allows_async, "given or extended", [f"PATCH {MEMBER}"]
    ),
    "accepting a stale invitation": Sabotage(
        "directory.invitations.accept._authorize_inviter",
        allows_async,
        "no giver held",
        ACCEPTANCE,
        0.6,
    ),
    "placing into a team": Sabotage(
        "access.authorize.refuse_beyond", allows, "no giver held", [f"PUT {TEAM}/members/{{user}}"]
    ),
    "acting beyond the service account": Sabotage(
        "delivery.position.LedgerPosition.permitted_to_both",
        asks_the_member_alone,
        "no giver held|outside of",
        [f"PUT {RESOURCE}/grants", f"PUT {TEAM}/roles", f"PUT {TEAM}/members/{{user}}"],
    ),
    "making a token of somebody above": Sabotage(
        "access.authorize.refuse_above",
        allows_async,
        "handed out",
        [f"POST {ACCOUNT}/tokens"],
        deployment="bank",
    ),
    "admitting outsiders": Sabotage(
        "access.reading.require_held",
        allows,
        "outsider|outside of",
        [f"GET {ORGANIZATION}/members", f"GET {TEAM}"],
    ),
}


@pytest.mark.parametrize("rule", SABOTAGES)
async def test_the_coalition_finds_each_missing_rule(
    finicom: Deployment, bank: Deployment, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    sabotage = SABOTAGES[rule]
    deployment = {"finicom": finicom, "bank": bank}[sabotage.deployment]
    monkeypatch.setattr(f"teamaccess.{sabotage.rule}", sabotage.instead)
    run = await Run.begin(deployment, SEED, sabotage.routes, sabotage.honest)
    with pytest.raises(Violation, match=sabotage.found):
        await run.take(range(STEPS))
    print(f"{rule}: found after {run.counts.steps} steps")  # noqa: T201 - how soon it is found
