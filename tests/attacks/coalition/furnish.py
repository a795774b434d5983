"""Single things that an opening makes, and remembers in the town."""

from typing import Any

import httpx

from tests.attacks.coalition.town import Principal, Town
from tests.support.machines import api_token, service_account
from tests.support.objects import registered
from tests.support.world import Person
from tests.support.world import Team as Organization


def principal(side: str, label: str, person: Person) -> Principal:
    """A person of a story as a principal."""
    return Principal(label, person.id, side, person.token, person.email)


async def machine(
    town: Town, organization: Organization, side: str, label: str, *roles: str
) -> None:
    """A service account with a token."""
    account = await service_account(organization, *roles)
    token = await api_token(organization, account)
    made = principal(side, label, account)
    made.account_of = organization.id
    town.principals.append(made)
    town.add("account", organization.id, account.id)
    town.add("user", organization.id, account.id)
    town.add("api_token", organization.id, token["id"], owner=account.id)
    town.secrets.add(token["secret"])
    town.token_ids[token["id"]] = token["secret"]


async def team(town: Town, organization: Organization, id: str, *roles: str) -> None:
    """A team that nobody is in."""
    await done(organization, "POST", "teams", {"id": id, "name": id})
    if roles:
        wanted = {"roles": [{"role": role} for role in roles]}
        await done(organization, "PUT", f"teams/{id}/roles", wanted)
    town.add("team", organization.id, id)


async def objects(town: Town, organization: Organization, creator: Person) -> None:
    """A registered object of each type."""
    for type in town.world.service.catalog.types.values():
        whose = creator if type.demands_creator else None
        await registered(organization, f"{type.id}:first", creator=whose)
        town.add("resource", organization.id, "first", type=type.id)
        if whose is not None:
            town.creators[f"{type.id}:{organization.id}/first"] = whose.id


async def done(organization: Organization, method: str, path: str, body: Any) -> httpx.Response:
    """A request of the administrator's that works."""
    url = f"{organization.path}/{path}"
    answer = await organization.administrator.ask(method, url, json=body)
    return answer.raise_for_status()
