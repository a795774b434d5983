"""Assertions about responses and events."""

from typing import Any

import httpx

PROBLEM = "application/problem+json"


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that a request was refused with this status and code. Returns the problem details."""
    assert response.status_code == status, f"{response.request.url}: {response.text}"
    assert response.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem["title"]
    assert problem["detail"]
    return problem


def without_proofs(details: dict[str, Any]) -> dict[str, Any]:
    """The details of an event without the proofs of rows, which PostgreSQL adds."""
    return {name: value for name, value in details.items() if name != "attests"}
