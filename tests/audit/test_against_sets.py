"""The auditor's answers on random histories match plain sets.

TEAMACCESS_SEED=<number> repeats a history.
"""

import os
import secrets
from copy import deepcopy
from random import Random
from typing import Any

from tests.audit.expected_access import ExpectedAccess
from tests.audit.random_changes import RandomChanges
from tests.support.organization import Organization

SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))
STEPS = 40


async def test_every_answer_matches_plain_sets_and_stays_the_same_later(
    acme: Organization,
) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    history = RandomChanges(acme, Random(SEED))  # noqa: S311 - no secret depends on it
    await history.begin()
    past = []
    for step in range(STEPS):
        await history.change_one_thing()
        if step % 10 == 9:
            await _assert_answers_match(history, history.expected)
        if step % 4 == 0:
            live = (await _ask(acme, "matrix"))["items"]
            at = (await acme.deployment.service.now()).isoformat()
            past.append((at, deepcopy(history.expected), live))
    for at, oracle, live in history.chance.sample(past, len(past)):
        for basis in ("decided", "enforced"):
            assert (await _ask(acme, "matrix", at=at, basis=basis))["items"] == live
        await _assert_answers_match(history, oracle, at=at)


async def _assert_answers_match(
    history: RandomChanges, oracle: ExpectedAccess, **then: str
) -> None:
    """Assert that the answers match the sets, now or as of a past time."""
    organization = history.organization
    names = {person.id: name for name, person in organization.people.items()}
    matrix = await _ask(organization, "matrix", **then)
    reported = {names[row["user"]]: set(row["actions"]) for row in matrix["items"]}
    active = {name for name, each in oracle.people.items() if each.active}
    assert reported.keys() == active
    for name in oracle.people:
        expected = {history.ids[sentence] for sentence in oracle.allowed(name)}
        assert reported.get(name, set()) & set(history.ids.values()) == expected, name
        answer = await _ask(organization, "what-can", user=organization.people[name].id, **then)
        allowed = {each["action"] for each in answer["items"] if each["resource"] is None}
        assert allowed & set(history.ids.values()) == expected, name
        _assert_explained(answer)
    for sentence in history.chance.sample(sorted(history.ids), 8):
        answer = await _ask(organization, "who-can", action=history.ids[sentence], **then)
        assert {names[each["user"]] for each in answer["items"]} == oracle.who(sentence), sentence
        _assert_explained(answer)
    for _ in range(4):
        name = history.chance.choice(sorted(oracle.people))
        sentence = history.chance.choice(sorted(history.ids))
        about = {"user": organization.people[name].id, "action": history.ids[sentence], **then}
        answer = await _ask(organization, "why", **about)
        assert answer["allowed"] == (sentence in oracle.allowed(name)), (name, sentence)
        assert bool(answer["paths"]) == answer["allowed"]
        assert (answer["obstacle"] is None) == answer["allowed"]


def _assert_explained(answer: dict[str, Any]) -> None:
    """Assert that every row has a path, and that the evidence counts the rows."""
    evidence = answer["evidence"]
    assert (evidence["unexplained"], evidence["missing"]) == (0, 0)
    assert evidence["rows"] == len(answer["items"])
    assert all(each["paths"] for each in answer["items"])


async def _ask(organization: Organization, question: str, **about: str) -> dict[str, Any]:
    answer = await organization.administrator.ask(
        "GET", f"{organization.path}/audit/{question}", params=about
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    return found
