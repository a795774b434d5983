"""Remedies as an auditor is told of them, made through the API."""

from typing import Any

import httpx

from teamaccess.directory.members.administrators import grant_administrator
from tests.support.objects import grant, granted, to
from tests.support.world import Person, Team

Remedy = dict[str, Any]


async def why(
    team: Team, who: Person, action: str, resource: str | None = None, by: Person | None = None
) -> dict[str, Any]:
    """The answer that an auditor gets."""
    about = {"user": who.id, "action": action} | ({"resource": resource} if resource else {})
    asking = by or team.administrator
    answer = await asking.ask("GET", f"{team.path}/audit/why", params=about)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def changes(remedy: Remedy) -> list[tuple[str, str | None]]:
    """The kinds of its steps, each with the role, the team or the object that it is about."""
    return [
        (step["change"], step["role"] or step["team"] or step["resource"])
        for step in remedy["steps"]
    ]


def named(remedy: Remedy) -> list[str]:
    """The ids of those who may make it."""
    return [each["user"] for each in remedy["by"]]


async def make(
    team: Team, whom: Person, remedy: Remedy, by: Person, action: str
) -> list[httpx.Response]:
    """Take its steps as somebody, up to the first that is refused; the invited then accept."""
    done: list[httpx.Response] = []
    for step in remedy["steps"]:
        done.append(await _taken(team, whom, step, by, action))
        if not done[-1].is_success:
            break
        if step["change"] == "invite":
            done.append(await _accepted(team, whom, by=whom))
    return done


async def _taken(
    team: Team, whom: Person, step: dict[str, Any], by: Person, action: str
) -> httpx.Response:
    member = f"{team.path}/members/{whom.id}"
    match step["change"]:
        case "reactivate":
            return await team.act("reactivate", whom, by=by)
        case "change_end":
            return await by.ask("PATCH", member, json={"expires_at": None})
        case "give_role":
            roles = [*await held(team, whom), {"role": step["role"]}]
            return await by.ask("PUT", f"{member}/roles", json={"roles": roles})
        case "join_team":
            seat = f"{team.path}/teams/{step['team']}/members/{whom.id}"
            return await by.ask("PUT", seat)
        case "grant":
            name = step["resource"].replace(f"{team.id}/", "")
            there = (await granted(team, name)).raise_for_status().json()["grants"]
            kept = [
                {k: v for k, v in each.items() if k in KEPT and v is not None} for each in there
            ]
            return await grant(team, name, *kept, to(whom, action), by=by)
        case "invite":
            body = {"email": whom.email, "roles": [step["role"]]}
            return await by.ask("POST", f"{team.path}/invitations", json=body)
        case "cancel_invitation":
            return await by.ask("DELETE", f"{team.path}/invitations/{step['invitation']}")
        case "accept_invitation":
            return await _accepted(team, whom, by=by)
    raise AssertionError(step)


KEPT = {"action", "user", "team", "expires_at"}


async def _accepted(team: Team, whom: Person, by: Person) -> httpx.Response:
    body = {"token": team.world.secret_for(whom.email)}
    return await by.ask("POST", "/v1/invitations/accept", json=body)


async def held(team: Team, whom: Person) -> list[dict[str, Any]]:
    """The roles that are theirs alone, with the ends, as a replacement takes them."""
    url = f"{team.path}/members/{whom.id}"
    member = (await team.administrator.ask("GET", url)).raise_for_status().json()
    return [
        {"role": each["role"], "expires_at": source["expires_at"]}
        for each in member["roles"]
        for source in each["sources"]
        if source["kind"] == "direct"
    ]


async def by_operator(team: Team, whom: Person) -> None:
    """Make them administrator, as whoever runs the service."""
    async with team.world.operator(team.id) as change:
        await grant_administrator(change, team.id, whom.email, "Case 4711")
