"""Resources and grants, over the API."""

from collections.abc import Sequence
from typing import Any

import httpx

from teamaccess.storage import Team as TeamRow
from teamaccess.storage import (
    TeamId,
    TeamMembership,
)
from tests.support.organization import Organization
from tests.support.people import Person


async def register_resource(
    organization: Organization, name: str, by: Person | None = None, creator: Person | None = None
) -> httpx.Response:
    """Register a resource, named as in `webhook:wh_1`."""
    body = {"creator": creator.id} if creator is not None else None
    return await (by or organization.administrator).ask(
        "PUT", resource_path(organization, name), json=body
    )


async def remove_resource(
    organization: Organization, name: str, by: Person | None = None
) -> httpx.Response:
    """Remove a resource."""
    return await (by or organization.administrator).ask("DELETE", resource_path(organization, name))


async def add_resources(
    organization: Organization, *names: str, creator: Person | None = None
) -> None:
    """Register resources that a test needs."""
    for name in names:
        answer = await register_resource(organization, name, creator=creator)
        assert answer.status_code == 200, answer.text


async def change_resources(
    organization: Organization, items: Sequence[dict[str, Any]], by: Person | None = None
) -> httpx.Response:
    """Register and remove resources in one change."""
    url = f"{organization.path}/resources:batch"
    return await (by or organization.administrator).ask("POST", url, json={"items": list(items)})


def batch_item(
    name: str, operation: str = "register", creator: Person | None = None
) -> dict[str, Any]:
    """One resource of a batch."""
    type, _, id = name.partition(":")
    made = {"creator": creator.id} if creator is not None else {}
    return {"operation": operation, "type": type, "id": id, **made}


async def set_grants(
    organization: Organization,
    name: str,
    *grants: dict[str, Any],
    by: Person | None = None,
    **more: Any,
) -> httpx.Response:
    """Replace the grants on a resource."""
    url = f"{resource_path(organization, name)}/grants"
    return await (by or organization.administrator).ask(
        "PUT", url, json={"grants": list(grants)}, **more
    )


async def get_grants(
    organization: Organization, name: str, by: Person | None = None
) -> httpx.Response:
    """Read the grants on a resource."""
    return await (by or organization.administrator).ask(
        "GET", f"{resource_path(organization, name)}/grants"
    )


def grant_to(target: Person | str, action: str, **more: Any) -> dict[str, Any]:
    """A grant to a user, or to the team with that id."""
    holder = {"team": target} if isinstance(target, str) else {"user": target.id}
    return {"action": action, **holder, **more}


def role_to(target: Person | str, role: str, **more: Any) -> dict[str, Any]:
    """A grant of a role on the resource to a user, or to the team with that id."""
    holder = {"team": target} if isinstance(target, str) else {"user": target.id}
    return {"role": role, **holder, **more}


def resource_path(organization: Organization, name: str) -> str:
    """The address of a resource in the API."""
    return f"{organization.path}/resources/{name.replace(':', '/', 1)}"


async def add_team(organization: Organization, name: str, *members: Person) -> None:
    """Add a team with members."""
    async with organization.deployment.operator(organization.id) as change:
        places = [TeamMembership(user_id=each.id) for each in members]
        id = TeamId(name)
        change.session.add(
            TeamRow(organization_id=organization.id, id=id, name=name, members=places)
        )
