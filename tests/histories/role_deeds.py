"""What people do to roles of an organization's own, through the API."""

from random import Random
from typing import Any

from tests.histories.cast import OWN_ROLES, Cast
from tests.support.world import Person, Team


async def role_deed(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Make, clone, replace or delete a role."""
    deed = chance.choice([make, make, clone, replace, replace, delete])
    return await deed(cast, team, by, chance)


async def make(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Make a role of some actions, of which a few may be in no role of one's own."""
    return await _post(cast, team, by, chance, actions=_actions(cast, chance))


async def clone(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Make a role that allows what another one does."""
    return await _post(cast, team, by, chance, clone_of=chance.choice(cast.every_role))


async def replace(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Have a role allow something else."""
    body = {"name": "Other", "actions": _actions(cast, chance)}
    path = f"{team.path}/roles/{chance.choice(OWN_ROLES)}"
    return cast.answered(team, await by.ask("PUT", path, json=body))


async def delete(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Delete a role, giving its holders another one, or none, or not saying."""
    instead = chance.choice(["", "?reassign=none", f"?reassign={chance.choice(cast.every_role)}"])
    path = f"{team.path}/roles/{chance.choice(OWN_ROLES)}{instead}"
    return cast.answered(team, await by.ask("DELETE", path))


async def _post(cast: Cast, team: Team, by: Person, chance: Random, **made_of: Any) -> str:
    body = {"id": chance.choice(OWN_ROLES), "name": "Own", **made_of}
    return cast.answered(team, await by.ask("POST", f"{team.path}/roles", json=body))


def _actions(cast: Cast, chance: Random) -> list[Any]:
    actions = list(cast.world.service.catalog.actions.values())
    named: list[Any] = [each.id for each in chance.sample(actions, chance.choice([0, 1, 3]))]
    like = chance.choice(actions)
    return [*named, {"resource": like.resource, "level": like.level}]
