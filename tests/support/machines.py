"""Service accounts, as stories need them."""

from dataclasses import dataclass
from typing import Any

import httpx

from teamaccess.storage import CustomRole, CustomRoleAction, RoleId, UserId
from tests.support.world import Person, Team


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


async def custom_role(team: Team, id: str, *actions: str) -> str:
    """Make a role of the organization's own, as an operator."""
    async with team.world.operator(team.id) as change:
        allowed = [CustomRoleAction(action=action) for action in actions]
        role = CustomRole(organization_id=team.id, id=RoleId(id), name=id.title(), allowed=allowed)
        change.session.add(role)
    return id


async def backend(team: Team, *actions: str) -> Person:
    """Make a signed-in machine that acts for members, as far as these actions go."""
    acts = team.world.service.catalog.guards["act_on_behalf"]
    return await machine(team, await custom_role(team, "backend", acts, *actions))


def acting(machine: Person, whom: str) -> Person:
    """The machine, acting for somebody in whatever it asks."""
    return Acting(machine.world, machine.id, machine.email, machine.token, whom)


@dataclass
class Acting(Person):
    """A machine that acts for somebody."""

    whom: str

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request for whoever it acts for."""
        headers = {"Teamaccess-On-Behalf-Of": self.whom, **more.pop("headers", {})}
        return await super().ask(method, path, headers=headers, **more)
