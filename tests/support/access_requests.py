"""Requests for access, and the decisions on them, over the API."""

from typing import Any

import httpx

from tests.support.organization import Organization
from tests.support.people import Person

HOURS = 8


async def request_access(organization: Organization, by: Person, **fields: Any) -> httpx.Response:
    """Request a `role` or an `action`. The other fields have defaults."""
    body = {"reason": "a case for tonight", "duration_hours": HOURS, **fields}
    return await by.ask("POST", f"{organization.path}/access-requests", json=body)


async def create_access_request(organization: Organization, by: Person, **fields: Any) -> str:
    """Request access. Returns the address of the request."""
    answer = await request_access(organization, by, **fields)
    assert answer.status_code == 201, answer.text
    return f"{organization.path}/access-requests/{answer.json()['id']}"


async def decide(path: str, verb: str, by: Person, **decision: Any) -> httpx.Response:
    """`approve`, `decline` or `withdraw` a request."""
    return await by.ask("POST", f"{path}/{verb}", json=decision)


async def list_access_requests(organization: Organization, by: Person, **wanted: str) -> list[str]:
    """The addresses of the requests that a member can see, the newest first."""
    answer = await by.ask("GET", f"{organization.path}/access-requests", params=wanted)
    assert answer.status_code == 200, answer.text
    return [f"{organization.path}/access-requests/{each['id']}" for each in answer.json()["items"]]
