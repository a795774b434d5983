"""Remedies as an auditor is told of them, made through the API."""

from typing import Any

import httpx

from teamaccess.directory.members.administrators import grant_administrator
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import get_grants, grant_to, set_grants

Remedy = dict[str, Any]


async def why(
    organization: Organization,
    who: Person,
    action: str,
    resource: str | None = None,
    by: Person | None = None,
) -> dict[str, Any]:
    """The answer that an auditor gets."""
    about = {"user": who.id, "action": action} | ({"resource": resource} if resource else {})
    asking = by or organization.administrator
    answer = await asking.ask("GET", f"{organization.path}/audit/why", params=about)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def steps_of(remedy: Remedy) -> list[tuple[str, str | None]]:
    """The kinds of its steps, each with the role, the team or the object that it is about."""
    return [
        (step["change"], step["role"] or step["team"] or step["resource"])
        for step in remedy["steps"]
    ]


def users_who_may_apply(remedy: Remedy) -> list[str]:
    """The ids of those who may make it."""
    return [each["user"] for each in remedy["by"]]


async def apply_remedy(
    organization: Organization, whom: Person, remedy: Remedy, by: Person, action: str
) -> list[httpx.Response]:
    """Take its steps as somebody, up to the first that is refused; the invited then accept."""
    done: list[httpx.Response] = []
    for step in remedy["steps"]:
        done.append(await _taken(organization, whom, step, by, action))
        if not done[-1].is_success:
            break
        if step["change"] == "invite":
            done.append(await _accepted(organization, whom, by=whom))
    return done


async def _taken(
    organization: Organization, whom: Person, step: dict[str, Any], by: Person, action: str
) -> httpx.Response:
    member = f"{organization.path}/members/{whom.id}"
    match step["change"]:
        case "reactivate":
            return await organization.reactivate(whom, by=by)
        case "change_end":
            return await by.ask("PATCH", member, json={"expires_at": None})
        case "give_role":
            roles = [*await held(organization, whom), {"role": step["role"]}]
            return await by.ask("PUT", f"{member}/roles", json={"roles": roles})
        case "join_team":
            seat = f"{organization.path}/teams/{step['team']}/members/{whom.id}"
            return await by.ask("PUT", seat)
        case "grant":
            name = step["resource"].replace(f"{organization.id}/", "")
            there = (await get_grants(organization, name)).raise_for_status().json()["grants"]
            kept = [
                {k: v for k, v in each.items() if k in KEPT and v is not None} for each in there
            ]
            return await set_grants(organization, name, *kept, grant_to(whom, action), by=by)
        case "invite":
            body = {"email": whom.email, "roles": [step["role"]]}
            return await by.ask("POST", f"{organization.path}/invitations", json=body)
        case "cancel_invitation":
            return await by.ask("DELETE", f"{organization.path}/invitations/{step['invitation']}")
        case "accept_invitation":
            return await _accepted(organization, whom, by=by)
    raise AssertionError(step)


KEPT = {"action", "user", "team", "expires_at"}


async def _accepted(organization: Organization, whom: Person, by: Person) -> httpx.Response:
    body = {"token": organization.deployment.invitation_token(whom.email)}
    return await by.ask("POST", "/v1/invitations/accept", json=body)


async def held(organization: Organization, whom: Person) -> list[dict[str, Any]]:
    """The roles that are theirs alone, with the ends, as a replacement takes them."""
    url = f"{organization.path}/members/{whom.id}"
    member = (await organization.administrator.ask("GET", url)).raise_for_status().json()
    return [
        {"role": each["role"], "expires_at": source["expires_at"]}
        for each in member["roles"]
        for source in each["sources"]
        if source["kind"] == "direct"
    ]


async def by_operator(organization: Organization, whom: Person) -> None:
    """Make them administrator, as whoever runs the service."""
    async with organization.deployment.operator(organization.id) as change:
        await grant_administrator(change, organization.id, whom.email, "Case 4711")
