"""Service accounts in random histories: created, given tokens and roles, used on behalf, and
deleted.
"""

from random import Random

from teamaccess.storage import UserId
from tests.histories import member_operations
from tests.histories.simulation import Simulation
from tests.histories.team_operations import IDS
from tests.support.organization import Organization
from tests.support.people import Person

MAX_ACCOUNTS = 4


async def create(
    simulation: Simulation, chance: Random, organization: Organization, by: Person
) -> str:
    """Create a service account with some roles and a token."""
    if len(simulation.service_accounts) >= MAX_ACCOUNTS:
        return "enough"
    roles = chance.sample(simulation.roles, chance.choice([0, 1, 1, 2]))
    body = {"name": "Robot", "roles": roles}
    made = await by.ask("POST", f"{organization.path}/service-accounts", json=body)
    if made.is_success:
        account = Person(simulation.deployment, UserId(made.json()["id"]), "", "ta_none_yet")
        simulation.service_accounts.append((organization, account))
        simulation.record_answer(organization, made)
        return await sign_in(simulation, organization, by, account)
    return simulation.record_answer(organization, made)


async def sign_in(
    simulation: Simulation, organization: Organization, by: Person, account: Person
) -> str:
    """Create a token of a service account."""
    path = f"{organization.path}/service-accounts/{account.id}/tokens"
    answer = await by.ask("POST", path, json={"name": "one more"})
    if answer.is_success:
        account.token = answer.json()["secret"]
    return simulation.record_answer(organization, answer)


async def service_account_operation(simulation: Simulation, chance: Random) -> str:
    """As a member, mostly an administrator, create, change or use a service account."""
    organization = chance.choice(simulation.organizations)
    people, administrators = (
        simulation.people(organization),
        await simulation.administrators(organization),
    )
    some = (
        [each for each in people if each.id in administrators] if chance.random() < 0.75 else people
    )
    by = chance.choice(some or people)
    if chance.random() < 0.3:
        return await create(simulation, chance, organization, by)
    return await change_or_use(simulation, chance, organization, by)


async def change_or_use(
    simulation: Simulation, chance: Random, organization: Organization, by: Person
) -> str:
    """Change a service account of the organization, or let it act."""
    mine = [
        account for where, account in simulation.service_accounts if where.id == organization.id
    ]
    if not mine:
        return member_operations.NOTHING
    account, person = chance.choice(mine), chance.choice(simulation.people(organization))
    roles = {
        role: chance.choice(list(member_operations.RoleEnd))
        for role in chance.sample(simulation.roles, chance.choice([0, 1, 2]))
    }
    match chance.choice(["delete", "sign in", "roles", "team", "act", "work", "behalf", "behalf"]):
        case "delete":
            path = f"{organization.path}/service-accounts/{account.id}"
            return simulation.record_answer(organization, await by.ask("DELETE", path))
        case "sign in":
            return await sign_in(simulation, organization, by, account)
        case "roles":
            return await member_operations.change_roles(
                simulation, organization, by, account, roles
            )
        case "team":
            path = f"{organization.path}/teams/{chance.choice(IDS)}/members/{account.id}"
            return simulation.record_answer(organization, await by.ask("PUT", path))
        case "act":
            verb = chance.choice(["suspend", "reactivate", "remove"])
            return simulation.record_answer(
                organization, await organization.change_status(verb, account, by=by)
            )
        case "work":
            return await member_operations.change_roles(
                simulation, organization, account, person, roles
            )
        case _:
            target = chance.choice(simulation.people(organization))
            return await member_operations.change_roles(
                simulation, organization, account.on_behalf_of(target.id), person, roles
            )
