"""Objects and what is granted on them, as tests ask for it through the API."""

from collections.abc import Sequence
from typing import Any

import httpx

from teamaccess.storage import (
    CustomRole,
    CustomRoleAction,
    RoleAssignment,
    RoleId,
    TeamId,
    TeamMembership,
)
from teamaccess.storage import Team as TeamRow
from tests.support.world import Person, Team


async def register(
    team: Team, name: str, by: Person | None = None, creator: Person | None = None
) -> httpx.Response:
    """Register an object, named as in `webhook:wh_1`."""
    body = {"creator": creator.id} if creator is not None else None
    return await (by or team.administrator).ask("PUT", path(team, name), json=body)


async def remove(team: Team, name: str, by: Person | None = None) -> httpx.Response:
    """Remove an object."""
    return await (by or team.administrator).ask("DELETE", path(team, name))


async def registered(team: Team, *names: str, creator: Person | None = None) -> None:
    """Have objects that are there."""
    for name in names:
        answer = await register(team, name, creator=creator)
        assert answer.status_code == 200, answer.text


async def batch(
    team: Team, items: Sequence[dict[str, Any]], by: Person | None = None
) -> httpx.Response:
    """Register and remove objects in one change."""
    url = f"{team.path}/resources:batch"
    return await (by or team.administrator).ask("POST", url, json={"items": list(items)})


def item(name: str, operation: str = "register", creator: Person | None = None) -> dict[str, Any]:
    """One object of a batch."""
    type, _, id = name.partition(":")
    made = {"creator": creator.id} if creator is not None else {}
    return {"operation": operation, "type": type, "id": id, **made}


async def grant(
    team: Team, name: str, *grants: dict[str, Any], by: Person | None = None, **more: Any
) -> httpx.Response:
    """Have exactly this granted on an object."""
    url = f"{path(team, name)}/grants"
    return await (by or team.administrator).ask("PUT", url, json={"grants": list(grants)}, **more)


async def granted(team: Team, name: str, by: Person | None = None) -> httpx.Response:
    """Read what is granted on an object."""
    return await (by or team.administrator).ask("GET", f"{path(team, name)}/grants")


def to(whom: Person | str, action: str, **more: Any) -> dict[str, Any]:
    """A grant for somebody, or for the team of that name."""
    holder = {"team": whom} if isinstance(whom, str) else {"user": whom.id}
    return {"action": action, **holder, **more}


async def may(team: Team, whom: Person, name: str, action: str) -> bool:
    """What a service is told of one object."""
    type, _, id = name.partition(":")
    return await team.world.check(team.id, whom.id, action, resource=f"{type}:{team.id}/{id}")


def path(team: Team, name: str) -> str:
    """Where the API has an object."""
    return f"{team.path}/resources/{name.replace(':', '/', 1)}"


async def team_of(team: Team, name: str, *members: Person) -> None:
    """Have a team with members."""
    async with team.world.operator(team.id) as change:
        places = [TeamMembership(user_id=each.id) for each in members]
        id = TeamId(name)
        change.session.add(TeamRow(organization_id=team.id, id=id, name=name, members=places))


async def role_of(team: Team, name: str, actions: list[str], *members: Person) -> None:
    """Have a role of the organization's own, and who holds it."""
    role = RoleId(name)
    async with team.world.operator(team.id) as change:
        change.session.add(CustomRole(organization_id=team.id, id=role, name=name))
        await change.session.flush()
        for action in actions:
            allowed = CustomRoleAction(organization_id=team.id, role=role, action=action)
            change.session.add(allowed)
        for member in members:
            held = RoleAssignment(
                organization_id=team.id, user_id=member.id, role=role, custom=True
            )
            change.session.add(held)
