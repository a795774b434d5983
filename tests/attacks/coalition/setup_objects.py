"""Objects that a setup creates and records in the scenario."""

from typing import Any

import httpx

from tests.attacks.coalition.scenario import Principal, Scenario
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources


def as_principal(side: str, label: str, person: Person) -> Principal:
    """A person of a story as a principal."""
    return Principal(label, person.id, side, person.token, person.email)


async def add_service_account(
    scenario: Scenario, organization: Organization, side: str, label: str, *roles: str
) -> None:
    """Create a service account with a token."""
    account = await organization.create_service_account(*roles)
    token = await account.create_token()
    made = as_principal(side, label, account)
    made.account_of = organization.id
    scenario.principals.append(made)
    scenario.add("account", organization.id, account.id)
    scenario.add("user", organization.id, account.id)
    scenario.add("api_token", organization.id, token["id"], owner=account.id)
    scenario.secrets.add(token["secret"])
    scenario.token_ids[token["id"]] = token["secret"]


async def add_team(scenario: Scenario, organization: Organization, id: str, *roles: str) -> None:
    """Create a team without members."""
    await send_successfully(organization, "POST", "teams", {"id": id, "name": id})
    if roles:
        wanted = {"roles": [{"role": role} for role in roles]}
        await send_successfully(organization, "PUT", f"teams/{id}/roles", wanted)
    scenario.add("team", organization.id, id)


async def add_resources_of_each_type(
    scenario: Scenario, organization: Organization, creator: Person
) -> None:
    """Register a resource of each type."""
    for type in scenario.deployment.service.catalog.types.values():
        owner = creator if type.demands_creator else None
        await add_resources(organization, f"{type.id}:first", creator=owner)
        scenario.add("resource", organization.id, "first", type=type.id)
        if owner is not None:
            scenario.creators[f"{type.id}:{organization.id}/first"] = owner.id


async def send_successfully(
    organization: Organization, method: str, path: str, body: Any
) -> httpx.Response:
    """Send a request as the administrator, and assert that it succeeds."""
    url = f"{organization.path}/{path}"
    answer = await organization.administrator.ask(method, url, json=body)
    return answer.raise_for_status()
