"""A plan predicts what plain sets say, and what the change then does.

TEAMACCESS_SEED=<number> repeats a history.
"""

import os
import secrets
from copy import deepcopy
from random import Random
from typing import Any

from tests.audit.expected_access import ExpectedAccess
from tests.audit.random_changes import RandomChanges, role_id
from tests.support.organization import Organization

SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))
PLANS = 8


async def test_gains_and_losses_match_plain_sets_and_the_state_after_the_change(
    acme: Organization,
) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    history = RandomChanges(acme, Random(SEED))  # noqa: S311 - no secret depends on it
    await history.begin()
    for _ in range(PLANS):
        for _ in range(3):
            await history.change_one_thing()
        proposed, then = _propose_some(history)
        path, wanted = f"{acme.path}/audit/plan", {"changes": proposed}
        answer = await acme.administrator.ask("POST", path, json=wanted)
        assert answer.status_code == 200, answer.text
        assert answer.json()["refusal"] is None
        assert _gains_and_losses(history, answer.json()) == _expected(
            history, history.expected, then
        )
        entries = len(await acme.ledger())
        made = await acme.administrator.ask(
            "POST",
            f"{acme.path}/changes",
            json=wanted,
            headers={"If-Match": answer.headers["ETag"]},
        )
        made.raise_for_status()
        assert [str(each) for entry in (await acme.ledger())[entries:] for each in entry] == (
            answer.json()["updates"]
        )
        history.expected = then
        matrix = (await acme.administrator.ask("GET", f"{acme.path}/audit/matrix")).json()
        names = {person.id: name for name, person in acme.people.items()}
        for row in matrix["items"]:
            held = set(row["actions"]) & set(history.ids.values())
            assert held == {history.ids[each] for each in then.allowed(names[row["user"]])}


def _propose_some(history: RandomChanges) -> tuple[list[dict[str, Any]], ExpectedAccess]:
    """Return one to four distinct changes, and the access that they lead to."""
    proposed: list[dict[str, Any]] = []
    then = deepcopy(history.expected)
    for _ in range(history.chance.randint(1, 4)):
        after = deepcopy(then)
        change = _propose(history, after)
        if change not in proposed:  # a plan refuses a change that is listed twice
            proposed, then = [*proposed, change], after
    return proposed, then


def _propose(history: RandomChanges, then: ExpectedAccess) -> dict[str, Any]:
    """Return one proposed change, and make it in the expected access."""
    chance = history.chance
    name = chance.choice(["bob", "eve", "mal", "zoe"])
    person, team = then.people[name], chance.choice(sorted(history.teams))
    kind = chance.choice(["set_roles", "suspend", "put", "set_team_roles", "set_role"])
    if kind == "set_roles":
        person.roles = history.some_roles()
        roles = [role_id(each) for each in sorted(person.roles)]
        return {"change": kind, "user": history.person(name).email, "roles": roles}
    if kind == "suspend":
        kind = "suspend" if person.active else "reactivate"
        person.active = not person.active
        return {"change": kind, "user": history.person(name).id}
    if kind == "put":
        kind = "take_from_team" if team in person.teams else "put_in_team"
        person.teams ^= {team}
        return {"change": kind, "team": history.teams[team].id, "user": history.person(name).id}
    if kind == "set_team_roles":
        then.teams[team] = history.some_roles()
        roles = [role_id(each) for each in sorted(then.teams[team])]
        return {"change": kind, "team": history.teams[team].id, "roles": roles}
    free = [each for each in history.ids if not history.reserved(each)]
    then.custom["own"] = set(chance.sample(sorted(free), 3))
    actions = [history.ids[each] for each in sorted(then.custom["own"])]
    return {"change": "set_role", "role": "own", "actions": actions}


def _expected(
    history: RandomChanges, before: ExpectedAccess, after: ExpectedAccess
) -> dict[str, Any]:
    found = {}
    for name in before.people:
        had, has = before.allowed(name), after.allowed(name)
        if had != has:
            gains = {history.ids[each] for each in has - had}
            found[name] = gains, {history.ids[each] for each in had - has}
    return found


def _gains_and_losses(history: RandomChanges, plan: dict[str, Any]) -> dict[str, Any]:
    """The plan's gains and losses of the table's actions.

    Roles and reactivation affect others, too.
    """
    names = {person.id: name for name, person in history.organization.people.items()}
    table = set(history.ids.values())
    found = {}
    for each in plan["items"]:
        gains, loses = (
            {has["action"] for has in each[kind] if has["resource"] is None} & table
            for kind in ("gains", "loses")
        )
        if gains or loses:
            found[names[each["user"]]] = gains, loses
    return found
