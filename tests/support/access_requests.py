"""Steps of members who ask for access and of those who decide."""

from typing import Any

import httpx

from tests.support.organization import Organization
from tests.support.people import Person

HOURS = 8


async def request_access(organization: Organization, by: Person, **wish: Any) -> httpx.Response:
    """Ask for a `role` or an `action`; the rest of the wish is what it mostly is."""
    body = {"reason": "a case for tonight", "duration_hours": HOURS, **wish}
    return await by.ask("POST", f"{organization.path}/access-requests", json=body)


async def create_access_request(organization: Organization, by: Person, **wish: Any) -> str:
    """Ask, and return where the request is."""
    answer = await request_access(organization, by, **wish)
    assert answer.status_code == 201, answer.text
    return f"{organization.path}/access-requests/{answer.json()['id']}"


async def decide(where: str, verb: str, by: Person, **decision: Any) -> httpx.Response:
    """`approve`, `decline` or `withdraw` a request."""
    return await by.ask("POST", f"{where}/{verb}", json=decision)


async def list_access_requests(organization: Organization, by: Person, **wanted: str) -> list[str]:
    """Where the requests are that somebody is shown, the newest first."""
    answer = await by.ask("GET", f"{organization.path}/access-requests", params=wanted)
    assert answer.status_code == 200, answer.text
    return [f"{organization.path}/access-requests/{each['id']}" for each in answer.json()["items"]]
