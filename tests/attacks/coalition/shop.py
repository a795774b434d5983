"""The organization in which the coalition has a part: leads, members, a former one, service accounts."""

from datetime import timedelta

from teamaccess.storage import RoleAssignment, RoleId
from tests.attacks.coalition import furnish
from tests.attacks.coalition.town import COALITION, HONEST, Town
from tests.support.machines import custom_role
from tests.support.steps import enlist
from tests.support.world import Person
from tests.support.world import Team as Organization

BACKENDS = {"backend", "relay"}
"""Service accounts that act for members; the honest administrator lets them be."""
GIVEN_FREELY = {"steward", "captain"}
"""Roles of its own that the honest administrator gives to the coalition."""


async def open_shop(town: Town, shop: Organization) -> None:
    """Make its roles, people, service accounts, teams and objects."""
    for id, actions in _roles(town).items():
        await custom_role(shop, id, *actions)
        if id in GIVEN_FREELY:
            town.add("role", shop.id, id)
    members = await _people(town, shop)
    await furnish.machine(town, shop, COALITION, "bot", "steward")
    await furnish.machine(town, shop, COALITION, "backend", "agent")
    await furnish.machine(town, shop, COALITION, "relay", "agent", "steward")
    await furnish.team(town, shop, "pay")
    await furnish.team(town, shop, "ops", "keeper")
    await furnish.objects(town, shop, members["bob"])


def _roles(town: Town) -> dict[str, list[str]]:
    """One that manages roles, teams and objects, one that manages people, too, and two beside them."""
    catalog = town.world.service.catalog
    kept = {catalog.guards["delete_organization"], catalog.guards["act_on_behalf"]}
    free = [each for each in catalog.actions.values() if not each.reserved and each.id not in kept]
    guards = {each.id for each in free} & set(catalog.guards.values())
    others = [each.id for each in free if each.id not in guards]
    captain = sorted({*guards, *others[:6]})
    return {
        "steward": [each.id for each in free if each.source == "product"][:-1],
        "captain": captain,
        "keeper": others[-3:],
        "agent": [catalog.guards["act_on_behalf"], *captain[:8]],
    }


async def _people(town: Town, shop: Organization) -> dict[str, Person]:
    predefined = list(town.world.service.catalog.roles)
    least, middle = predefined[-1], predefined[1]
    roles = {
        "bob": [least],
        "lea": ["steward", least],
        "mal": ["captain"],
        "zoe": [middle],
        "sue": ["steward", middle],
        "rex": ["captain", middle],
        "hal": ["keeper", middle],
    }
    members = await enlist(shop, {name: [] for name in roles}, suspended=["sue"])
    async with town.world.operator(shop.id) as change:
        for name, held in roles.items():
            until = change.now + timedelta(days=1) if name == "zoe" else None
            for role in held:
                change.session.add(
                    RoleAssignment(
                        organization_id=shop.id,
                        user_id=members[name].id,
                        role=RoleId(role),
                        custom=role not in predefined,
                        expires_at=until,
                    )
                )
    for name, person in members.items():
        side = HONEST if name == "hal" else COALITION
        town.principals.append(furnish.principal(side, name, person))
    (await shop.act("remove", members["rex"])).raise_for_status()
    town.named("rex").end_sessions()
    town.named("rex").sign_in(await town.world.token(members["rex"].id))
    return members
