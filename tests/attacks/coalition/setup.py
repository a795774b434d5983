"""Create a scenario: the coalition's own organization, one where it has members, and a victim."""

from datetime import timedelta

from teamaccess.audit.auditors.grant import grant_auditor
from teamaccess.directory.users.logins import first_sign_in
from teamaccess.directory.users.tokens import Login
from teamaccess.storage import Membership, RoleId, User, new_user_id
from tests.attacks.coalition import setup_objects
from tests.attacks.coalition.scenario import COALITION, HONEST, Principal, Scenario
from tests.attacks.coalition.workplace import set_up_workplace
from tests.support.deployment import Deployment
from tests.support.organization import Organization

LOGIN = "https://login.example"


async def create_scenario(deployment: Deployment) -> Scenario:
    """Create everything. No two runs on a deployment share anything."""
    workplace, own = (
        await deployment.create_organization("shop"),
        await deployment.create_organization("den"),
    )
    victim = await deployment.create_organization("victim")
    scenario = Scenario(
        deployment, workplace.id, own.id, victim.id, [workplace.id, own.id, victim.id]
    )
    scenario.principals.append(setup_objects.as_principal(HONEST, "ana", workplace.administrator))
    scenario.principals.append(setup_objects.as_principal(HONEST, "vic", victim.administrator))
    await _set_up_victim(scenario, victim)
    await set_up_workplace(scenario, workplace)
    await _set_up_own_organization(scenario, own)
    await _outsiders(scenario)
    for organization in (workplace, own, victim):
        for person in organization.people.values():
            scenario.add("user", organization.id, person.id)
    return scenario


async def recreate_own_organization(scenario: Scenario) -> None:
    """Give the coalition a new organization after it has deleted the last one."""
    own = await scenario.deployment.create_organization("den")
    scenario.own_organization = own.id
    scenario.organizations.append(own.id)
    await _set_up_own_organization(scenario, own)


async def _set_up_own_organization(scenario: Scenario, own: Organization) -> None:
    """Two administrators. One of them is also a member of the workplace."""
    number = sum(each.label.startswith("eve") for each in scenario.principals)
    scenario.principals.append(
        setup_objects.as_principal(COALITION, f"eve{number}", own.administrator)
    )
    scenario.add("user", own.id, own.administrator.id)
    role, mal = RoleId(scenario.deployment.service.catalog.administrator), scenario.named("mal")
    async with scenario.deployment.operator(own.id) as change:
        user = await change.session.get_one(User, mal.id)
        change.session.add(Membership.begin(own.id, user, [role], change.now))
    scenario.add("user", own.id, mal.id)
    await setup_objects.add_resources_of_each_type(scenario, own, own.administrator)


async def _set_up_victim(scenario: Scenario, victim: Organization) -> None:
    """One object of each kind, so that there is something to take, change and reveal."""
    catalog = scenario.deployment.service.catalog
    least, middle = list(catalog.roles)[-1], list(catalog.roles)[1]
    members = await victim.add_members({"val": [least]})
    scenario.principals.append(setup_objects.as_principal(HONEST, "val", members["val"]))
    await setup_objects.add_service_account(scenario, victim, HONEST, "tool", least)
    await victim.add_custom_role("victim_role", next(iter(catalog.actions)))
    scenario.add("role", victim.id, "victim_role")
    await setup_objects.add_team(scenario, victim, "victim-team", "victim_role")
    invited = (await victim.invite("guest", [least])).raise_for_status().json()
    scenario.add("invitation", victim.id, invited["id"])
    body = {"role": middle, "reason": "I need it", "duration_hours": 5}
    asked = await members["val"].ask("POST", f"{victim.path}/access-requests", json=body)
    scenario.add("access_request", victim.id, asked.raise_for_status().json()["id"])
    await setup_objects.add_resources_of_each_type(scenario, victim, members["val"])


async def _outsiders(scenario: Scenario) -> None:
    """A user of another login who is a member nowhere, and an auditor of all organizations.

    The stranger's subject, which is their external id, is built from another user's id.
    """
    subject = f"ext-{scenario.named('val').id}"
    address = f"{new_user_id()}@login.example"
    now = await scenario.deployment.service.now()
    login = Login(LOGIN, subject, now, now + timedelta(hours=1), None, "A stranger")
    async with scenario.deployment.operator() as change:
        stranger = await first_sign_in(change, login)
        auditor = await grant_auditor(change, address, "the yearly audit", None)
    for label, id in (("stranger", stranger.id), ("auditor", auditor.id)):
        made = Principal(label, id, COALITION, await scenario.deployment.token(id))
        scenario.principals.append(made)
        scenario.add("user", "", id)
    scenario.named("stranger").external_id = subject
    scenario.named("auditor").email = address
    scenario.named("auditor").audits_all = True
