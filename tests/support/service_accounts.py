"""Service accounts, as stories need them."""

from dataclasses import dataclass
from typing import Any

import httpx

from teamaccess.storage import UserId
from tests.support.custom_roles import add_custom_role
from tests.support.deployment import Organization, Person


async def create_service_account(
    organization: Organization, *roles: str, by: Person | None = None
) -> Person:
    """Make a machine with these roles, which cannot sign in yet."""
    body = {"name": "Nightly job", "roles": list(roles)}
    answer = await (by or organization.administrator).ask(
        "POST", f"{organization.path}/service-accounts", json=body
    )
    assert answer.status_code == 201, answer.text
    return Person(organization.deployment, UserId(answer.json()["id"]), "", "")


async def create_api_token(
    organization: Organization, account: Person, by: Person | None = None, **more: Any
) -> dict[str, Any]:
    """Make a token with which the machine signs in from now on; returns what was answered."""
    answer = await (by or organization.administrator).ask(
        "POST",
        f"{organization.path}/service-accounts/{account.id}/tokens",
        json={"name": "on the server", **more},
    )
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    account.token = token["secret"]
    return token


async def add_service_account(organization: Organization, *roles: str) -> Person:
    """Make a machine with these roles that is signed in."""
    made = await create_service_account(organization, *roles)
    await create_api_token(organization, made)
    return made


async def add_backend_account(organization: Organization, *actions: str) -> Person:
    """Make a signed-in machine that acts for members, as far as these actions go."""
    acts = organization.deployment.service.catalog.guards["act_on_behalf"]
    return await add_service_account(
        organization, await add_custom_role(organization, "backend", acts, *actions)
    )


def on_behalf_of(account: Person, whom: str) -> Person:
    """The machine, acting for somebody in whatever it asks."""
    return OnBehalf(account.deployment, account.id, account.email, account.token, whom)


@dataclass
class OnBehalf(Person):
    """A machine that acts for somebody."""

    user: str

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request for whoever it acts for."""
        headers = {"Teamaccess-On-Behalf-Of": self.user, **more.pop("headers", {})}
        return await super().ask(method, path, headers=headers, **more)
