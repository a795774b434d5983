"""Service accounts, as stories need them."""

from typing import Any

from teamaccess.models import UserId
from tests.world import Person, Team


async def service_account(team: Team, *roles: str, by: Person | None = None) -> Person:
    """Make a machine with these roles, which cannot sign in yet."""
    body = {"name": "Nightly job", "roles": list(roles)}
    answer = await (by or team.administrator).ask(
        "POST", f"{team.path}/service-accounts", json=body
    )
    assert answer.status_code == 201, answer.text
    return Person(team.world, UserId(answer.json()["id"]), "", "")


async def api_token(
    team: Team, machine: Person, by: Person | None = None, **more: Any
) -> dict[str, Any]:
    """Make a token with which the machine signs in from now on; returns what was answered."""
    answer = await (by or team.administrator).ask(
        "POST",
        f"{team.path}/service-accounts/{machine.id}/tokens",
        json={"name": "on the server", **more},
    )
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    machine.token = token["secret"]
    return token


async def machine(team: Team, *roles: str) -> Person:
    """Make a machine with these roles that is signed in."""
    made = await service_account(team, *roles)
    await api_token(team, made)
    return made
