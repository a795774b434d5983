"""The organization that the coalition works in: leads, members, a former member, service accounts."""

from datetime import timedelta

from teamaccess.storage import RoleAssignment, RoleId
from tests.attacks.coalition import setup_objects
from tests.attacks.coalition.scenario import COALITION, HONEST, Scenario
from tests.support.organization import Organization as Organization
from tests.support.people import Person

BACKENDS = {"backend", "relay"}
"""Service accounts that act on behalf, which the honest administrator leaves alone."""
GIVEN_FREELY = {"steward", "captain"}
"""Custom roles that the honest administrator gives to the coalition."""


async def set_up_workplace(scenario: Scenario, workplace: Organization) -> None:
    """Create the roles, people, service accounts, teams and resources of the workplace."""
    for id, actions in _roles(scenario).items():
        await workplace.add_custom_role(id, *actions)
        if id in GIVEN_FREELY:
            scenario.add("role", workplace.id, id)
    members = await _people(scenario, workplace)
    await setup_objects.add_service_account(scenario, workplace, COALITION, "bot", "steward")
    await setup_objects.add_service_account(scenario, workplace, COALITION, "backend", "agent")
    await setup_objects.add_service_account(
        scenario, workplace, COALITION, "relay", "agent", "steward"
    )
    await setup_objects.add_team(scenario, workplace, "pay")
    await setup_objects.add_team(scenario, workplace, "ops", "keeper")
    await setup_objects.add_resources_of_each_type(scenario, workplace, members["bob"])


def _roles(scenario: Scenario) -> dict[str, list[str]]:
    """A role that manages roles, teams and resources, one that also manages people, and two others."""
    catalog = scenario.deployment.service.catalog
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


async def _people(scenario: Scenario, workplace: Organization) -> dict[str, Person]:
    catalog = scenario.deployment.service.catalog
    predefined = list(catalog.roles)
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
    for giver in {role for givers in catalog.givers.values() for role in givers}:
        roles[f"reg-{giver}"] = [giver]  # gives roles without holding their actions
    members = await workplace.add_members({name: [] for name in roles}, suspended=["sue"])
    async with scenario.deployment.operator(workplace.id) as change:
        for name, held in roles.items():
            until = change.now + timedelta(days=1) if name == "zoe" else None
            for role in held:
                change.session.add(
                    RoleAssignment(
                        organization_id=workplace.id,
                        user_id=members[name].id,
                        role=RoleId(role),
                        custom=role not in predefined,
                        expires_at=until,
                    )
                )
    for name, person in members.items():
        side = HONEST if name == "hal" else COALITION
        scenario.principals.append(setup_objects.as_principal(side, name, person))
    (await workplace.remove(members["rex"])).raise_for_status()
    scenario.named("rex").end_sessions()
    scenario.named("rex").sign_in(await scenario.deployment.token(members["rex"].id))
    return members
