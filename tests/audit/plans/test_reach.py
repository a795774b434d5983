"""A plan asks only about what its changes can reach, and misses nothing.

The oracle computes all access before and after from plain sets of relationships, without the reach.
TEAMACCESS_SEED=<number> repeats the random case.
"""

import os
import secrets
from random import Random
from typing import Any

import pytest

from teamaccess.audit.state import sandboxes
from teamaccess.catalog import Catalog
from teamaccess.relationships import Relationship
from teamaccess.relationships.relationship import parse_update, replay
from tests.support.organization import Organization
from tests.support.resources import add_resources, grant_to, set_grants
from tests.support.teams import Team

ROLES = ("developer", "operations", "product", "support", "finance_and_accounting", "own")
PEOPLE = ("bob", "eve", "mal", "zoe", "kim", "lou")
TEAMS = ("pay", "ship")
WEBHOOKS = ("wh_1", "wh_2", "wh_3")
TRANSFERS = ("t1", "t2")
SEEDS = (1, 2, 3, 4, int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32))))
CUSTOM_ROLE_ACTIONS = ("refunds_create", "webhooks_create", "links_access", "refunds_cancel")
"""Actions that a custom role may have."""
PLANS = 6

Access = set[tuple[str, str, str | None]]
"""A user, an action, and the object; None throughout the organization."""


@pytest.mark.parametrize("seed", SEEDS, ids=["1", "2", "3", "4", "random"])
async def test_a_plan_has_every_gain_and_every_loss(acme: Organization, seed: int) -> None:
    print(f"TEAMACCESS_SEED={seed}")  # noqa: T201 - shown when it fails
    chance = Random(seed)  # noqa: S311 - no secret depends on it
    await populate(acme, chance)
    made = 0
    for _ in range(PLANS):
        changes = [propose(acme, chance) for _ in range(chance.randint(1, 3))]
        answer = await acme.administrator.ask(
            "POST", f"{acme.path}/audit/plan", json={"changes": changes}
        )
        if answer.status_code != 200:
            continue  # the rules refuse some changes, such as the suspension of a suspended member
        made += 1
        before = replay([parse_update(each) for entry in await acme.ledger() for each in entry])
        after = replay([parse_update(each) for each in answer.json()["updates"]], before)
        catalog = acme.deployment.service.catalog
        had, has = all_access(catalog, acme.id, before), all_access(catalog, acme.id, after)
        assert access_in(answer.json(), "gains") == has - had, changes
        assert access_in(answer.json(), "loses") == had - has, changes
        applied = await acme.administrator.ask(
            "POST",
            f"{acme.path}/changes",
            json={"changes": changes},
            headers={"If-Match": answer.headers["ETag"]},
        )
        assert applied.is_success, applied.text
    assert made


async def test_a_plan_needs_a_sandbox_of_its_own_size_and_not_of_the_organizations(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await acme.add_members({f"p{number}": ["support"] for number in range(40)})
    await add_resources(acme, *(f"webhook:wh_{number}" for number in range(20)))
    monkeypatch.setattr(sandboxes, "MOST_RELATIONSHIPS", 12)
    changes = [{"change": "set_roles", "user": people["p7"].id, "roles": ["developer"]}]
    answer = await acme.administrator.ask(
        "POST", f"{acme.path}/audit/plan", json={"changes": changes}
    )
    assert answer.status_code == 200, answer.text
    [item] = answer.json()["items"]
    assert item["user"] == people["p7"].id
    [alike] = answer.json()["alike"].values()
    assert len(alike) == 20


async def populate(acme: Organization, chance: Random) -> None:
    """People, teams, a custom role, objects with creators, and grants."""
    people = await acme.add_members(
        {name: chance.sample(ROLES[:-1], chance.randint(0, 2)) for name in PEOPLE}
    )
    holder = people[chance.choice(PEOPLE)]
    await acme.add_custom_role("own", "refunds_create", "webhooks_create", holders=[holder])
    for name in TEAMS:
        team = await Team.create(acme, name, *chance.sample(ROLES, chance.randint(0, 2)))
        for member in chance.sample(PEOPLE, 2):
            (await team.add_member(people[member])).raise_for_status()
    await add_resources(acme, *(f"webhook:{id}" for id in WEBHOOKS))
    for id in TRANSFERS:
        await add_resources(acme, f"transfer:{id}", creator=people[chance.choice(PEOPLE)])
    for id in WEBHOOKS[:2]:
        to_user = grant_to(people[chance.choice(PEOPLE)], "edit")
        (
            await set_grants(acme, f"webhook:{id}", to_user, grant_to("pay", "edit"))
        ).raise_for_status()


def propose(acme: Organization, chance: Random) -> dict[str, Any]:
    """One random change."""
    user, team = acme.people[chance.choice(PEOPLE)].id, chance.choice(TEAMS)
    roles = chance.sample(ROLES, chance.randint(0, 3))
    return chance.choice(
        [
            {"change": "set_roles", "user": user, "roles": roles},
            {"change": "suspend", "user": user},
            {"change": "reactivate", "user": user},
            {"change": "remove", "user": user},
            {"change": "set_team_roles", "team": team, "roles": roles},
            {"change": "put_in_team", "team": team, "user": user},
            {"change": "take_from_team", "team": team, "user": user},
            {"change": "set_role", "role": "own", "actions": chance.sample(CUSTOM_ROLE_ACTIONS, 2)},
            {
                "change": "delete_role",
                "role": "own",
                "reassign": chance.choice(["none", "support"]),
            },
        ]
    )


def all_access(catalog: Catalog, organization: str, relationships: set[Relationship]) -> Access:
    """Everything that everybody can do, by plain sets."""
    subjects: dict[str, set[str]] = {}
    for each in relationships:
        subjects.setdefault(f"{each.resource}#{each.relation}", set()).add(str(each.subject))

    def people(userset: str) -> set[str]:
        found = set()
        for subject in subjects.get(userset, ()):
            found |= {subject} if subject.startswith("user:") else people(subject)
        return found

    tenant = f"organization:{organization}"
    members = people(f"{tenant}#member")
    everywhere = {
        action.id: members
        & set().union(
            people(f"{tenant}#{action.grant_relation}"),
            *(people(f"{tenant}#{role}") for role in action.roles),
        )
        for action in catalog.actions.values()
    }
    access: Access = {
        (user, action, None)
        for action, users in everywhere.items()
        if not catalog.actions[action].four_eyes
        for user in users
    }
    objects = {str(each.resource) for each in relationships if each.relation == "organization"}
    for on in objects:
        for verb, behind in catalog.types[on.partition(":")[0]].actions.items():
            users = everywhere[behind] | (people(f"{on}#granted_{verb}") & members)
            if catalog.actions[behind].four_eyes:
                users = users - people(f"{on}#creator")
            access |= {(user, verb, on) for user in users}
    return access


def access_in(plan: dict[str, Any], kind: str) -> Access:
    """The gains or the losses that a plan reports, with every object of each group."""
    return {
        (f"user:{item['user']}", held["action"], on)
        for item in plan["items"]
        for held in item[kind]
        for on in plan["alike"].get(held["resource"], [held["resource"]])
    }
