"""Steps of members who ask for access and of those who decide."""

from collections.abc import Sequence
from typing import Any

import httpx

from teamaccess.storage import CustomRole, CustomRoleAction, RoleId
from tests.support.world import Person, Team

HOURS = 8


async def ask(team: Team, by: Person, **wish: Any) -> httpx.Response:
    """Ask for a `role` or an `action`; the rest of the wish is what it mostly is."""
    body = {"reason": "a case for tonight", "duration_hours": HOURS, **wish}
    return await by.ask("POST", f"{team.path}/access-requests", json=body)


async def asked(team: Team, by: Person, **wish: Any) -> str:
    """Ask, and return where the request is."""
    answer = await ask(team, by, **wish)
    assert answer.status_code == 201, answer.text
    return f"{team.path}/access-requests/{answer.json()['id']}"


async def decide(where: str, verb: str, by: Person, **decision: Any) -> httpx.Response:
    """`approve`, `decline` or `withdraw` a request."""
    return await by.ask("POST", f"{where}/{verb}", json=decision)


async def seen(team: Team, by: Person, **wanted: str) -> list[str]:
    """Where the requests are that somebody is shown, the newest first."""
    answer = await by.ask("GET", f"{team.path}/access-requests", params=wanted)
    assert answer.status_code == 200, answer.text
    return [f"{team.path}/access-requests/{each['id']}" for each in answer.json()["items"]]


async def own_role(team: Team, id: str, actions: Sequence[str]) -> None:
    """Let the organization have a role of its own."""
    async with team.world.operator(team.id) as change:
        allowed = [CustomRoleAction(action=action) for action in actions]
        change.session.add(
            CustomRole(organization_id=team.id, id=RoleId(id), name=id.title(), allowed=allowed)
        )
