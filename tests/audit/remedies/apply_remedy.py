"""Remedies as an auditor reads them, applied through the API."""

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
    """The kinds of its steps, each with its role, team or resource."""
    return [
        (step["change"], step["role"] or step["team"] or step["resource"])
        for step in remedy["steps"]
    ]


def users_who_may_apply(remedy: Remedy) -> list[str]:
    """The ids of the users who may apply it."""
    return [each["user"] for each in remedy["by"]]


async def apply_remedy(
    organization: Organization, target: Person, remedy: Remedy, by: Person, action: str
) -> list[httpx.Response]:
    """Apply its steps as a user, up to the first refusal. An invitee then accepts."""
    done: list[httpx.Response] = []
    for step in remedy["steps"]:
        done.append(await _apply_step(organization, target, step, by, action))
        if not done[-1].is_success:
            break
        if step["change"] == "invite":
            done.append(await _accepted(organization, target, by=target))
    return done


async def _apply_step(
    organization: Organization, target: Person, step: dict[str, Any], by: Person, action: str
) -> httpx.Response:
    member = f"{organization.path}/members/{target.id}"
    match step["change"]:
        case "reactivate":
            return await organization.reactivate(target, by=by)
        case "change_end":
            return await by.ask("PATCH", member, json={"expires_at": None})
        case "give_role":
            roles = [*await roles_of(organization, target), {"role": step["role"]}]
            return await by.ask("PUT", f"{member}/roles", json={"roles": roles})
        case "join_team":
            seat = f"{organization.path}/teams/{step['team']}/members/{target.id}"
            return await by.ask("PUT", seat)
        case "grant":
            name = step["resource"].replace(f"{organization.id}/", "")
            there = (await get_grants(organization, name)).raise_for_status().json()["grants"]
            kept = [
                {k: v for k, v in each.items() if k in KEPT and v is not None} for each in there
            ]
            return await set_grants(organization, name, *kept, grant_to(target, action), by=by)
        case "invite":
            body = {"email": target.email, "roles": [step["role"]]}
            return await by.ask("POST", f"{organization.path}/invitations", json=body)
        case "cancel_invitation":
            return await by.ask("DELETE", f"{organization.path}/invitations/{step['invitation']}")
        case "accept_invitation":
            return await _accepted(organization, target, by=by)
    raise AssertionError(step)


KEPT = {"action", "user", "team", "expires_at"}


async def _accepted(organization: Organization, target: Person, by: Person) -> httpx.Response:
    body = {"token": organization.deployment.invitation_token(target.email)}
    return await by.ask("POST", "/v1/invitations/accept", json=body)


async def roles_of(organization: Organization, target: Person) -> list[dict[str, Any]]:
    """The directly assigned roles with their expiry, as a replacement contains them."""
    url = f"{organization.path}/members/{target.id}"
    member = (await organization.administrator.ask("GET", url)).raise_for_status().json()
    return [
        {"role": each["role"], "expires_at": source["expires_at"]}
        for each in member["roles"]
        for source in each["sources"]
        if source["kind"] == "direct"
    ]


async def make_administrator(organization: Organization, target: Person) -> None:
    """Make the user an administrator, as an operator does."""
    async with organization.deployment.operator(organization.id) as change:
        await grant_administrator(change, organization.id, target.email, "Case 4711")
