"""Custom roles over the API."""

from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.organization import Organization
from tests.support.people import Person

Part = str | Mapping[str, str]


def selector(resource: str, level: str) -> Part:
    """Return the selector of all actions of a resource at a level."""
    return {"resource": resource, "level": level}


async def try_create_role(
    organization: Organization, id: str, *actions: Part, by: Person | None = None, **more: Any
) -> httpx.Response:
    """Send a request that creates a custom role."""
    body: dict[str, Any] = {"id": id, "name": id.title(), **more}
    if actions:
        body["actions"] = actions
    return await (by or organization.administrator).ask(
        "POST", f"{organization.path}/roles", json=body
    )


async def create_role(
    organization: Organization, id: str, *actions: Part, **more: Any
) -> dict[str, Any]:
    """Create a custom role and assert that it succeeded. Returns the role."""
    answer = await try_create_role(organization, id, *actions, **more)
    assert answer.status_code == 201, answer.text
    role: dict[str, Any] = answer.json()
    return role


async def replace_role(
    organization: Organization, role: str, *actions: Part, by: Person | None = None, **more: Any
) -> httpx.Response:
    """Replace a role through the API. `headers` are those of httpx."""
    headers = more.pop("headers", {})
    body = {"name": role.title(), "actions": actions, **more}
    person = by or organization.administrator
    return await person.ask("PUT", f"{organization.path}/roles/{role}", json=body, headers=headers)


async def get_role(organization: Organization, id: str) -> httpx.Response:
    """Look at a role."""
    return await organization.administrator.ask("GET", f"{organization.path}/roles/{id}")


async def delete_role(
    organization: Organization, id: str, reassign: str | None = None, by: Person | None = None
) -> httpx.Response:
    """Delete a role through the API."""
    query = f"?reassign={reassign}" if reassign is not None else ""
    person = by or organization.administrator
    return await person.ask("DELETE", f"{organization.path}/roles/{id}{query}")
