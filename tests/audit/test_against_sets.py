"""The auditor's answers on random histories are what plain sets say.

TEAMACCESS_SEED=<number> tells the same history again.
"""

import os
import secrets
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.audit.oracle import TABLE, Oracle, Somebody
from tests.teams import Crew
from tests.world import Person, Team

SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))
STEPS = 40
ROLES = {
    "Operations": "operations",
    "Finance and Accounting": "finance_and_accounting",
    "Support": "support",
    "Product": "product",
    "Developer": "developer",
}


class History:
    """What happens to one organization, through the API and in the oracle at the same time."""

    def __init__(self, team: Team, chance: Random) -> None:
        self.team, self.chance, self.oracle = team, chance, Oracle()
        self.crews: dict[str, Crew] = {}
        actions = team.world.service.catalog.actions.values()
        self.ids = {each.description: each.id for each in actions if each.description in TABLE}
        self.oracle.people["ana"] = Somebody(roles={"Administrator"})

    async def begin(self) -> None:
        """Bring in people, two teams and a role of the organization's own."""
        for name in ("bob", "eve", "mal", "zoe"):
            [role] = self.chance.sample(sorted(ROLES), 1)
            await self.team.member(name, [ROLES[role]])
            self.oracle.people[name] = Somebody(roles={role})
        for name in ("pay", "ship"):
            self.crews[name] = await Crew.made(self.team, name)
            self.oracle.teams[name] = set()
        free = [each for each in self.ids if not self._reserved(each)]
        sentences = self.chance.sample(sorted(free), 4)
        body = {"id": "own", "name": "Own", "actions": [self.ids[each] for each in sentences]}
        made = await self.team.administrator.ask("POST", f"{self.team.path}/roles", json=body)
        made.raise_for_status()
        self.oracle.custom["own"] = set(sentences)

    async def go_on(self) -> None:
        """Let one thing happen."""
        person = self.chance.choice(["bob", "eve", "mal", "zoe"])
        deeds: list[Callable[[str], Awaitable[None]]] = [
            *(self._roles, self._suspend, self._reactivate),
            *(self._join, self._leave, self._team_roles),
        ]
        await self.chance.choice(deeds)(person)

    def known(self, name: str) -> Person:
        """Somebody, signed in."""
        return self.team.people[name]

    async def _roles(self, person: str) -> None:
        roles = self._some_roles()
        (await self.team.change_roles(self.known(person), *map(_id, roles))).raise_for_status()
        self.oracle.people[person].roles = roles

    async def _suspend(self, person: str) -> None:
        answer = await self.team.act("suspend", self.known(person))
        assert answer.is_success == self.oracle.people[person].active
        self.oracle.people[person].active = False

    async def _reactivate(self, person: str) -> None:
        answer = await self.team.act("reactivate", self.known(person))
        assert answer.is_success != self.oracle.people[person].active
        self.oracle.people[person].active = True

    async def _join(self, person: str) -> None:
        name = self.chance.choice(sorted(self.crews))
        (await self.crews[name].put(self.known(person))).raise_for_status()
        self.oracle.people[person].teams.add(name)

    async def _leave(self, person: str) -> None:
        for name in sorted(self.oracle.people[person].teams):
            (await self.crews[name].take(self.known(person))).raise_for_status()
            self.oracle.people[person].teams.remove(name)

    async def _team_roles(self, _: str) -> None:
        name, roles = self.chance.choice(sorted(self.crews)), self._some_roles()
        (await self.crews[name].hold(*map(_id, roles))).raise_for_status()
        self.oracle.teams[name] = roles

    def _some_roles(self) -> set[str]:
        return set(self.chance.sample([*sorted(ROLES), "own"], self.chance.randint(0, 2)))

    def _reserved(self, sentence: str) -> bool:
        return self.team.world.service.catalog.actions[self.ids[sentence]].reserved


def _id(role: str) -> str:
    return ROLES.get(role, role)


async def test_every_answer_is_what_plain_sets_say(acme: Team) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    history = History(acme, Random(SEED))  # noqa: S311 - nothing secret hangs on it
    await history.begin()
    for step in range(STEPS):
        await history.go_on()
        if step % 10 == 9:
            await _same(history)


async def _same(history: History) -> None:
    team, oracle = history.team, history.oracle
    names = {person.id: name for name, person in team.people.items()}
    matrix = await _ask(team, "matrix")
    told = {names[row["user"]]: set(row["actions"]) for row in matrix["items"]}
    active = {name for name, each in oracle.people.items() if each.active}
    assert told.keys() == active
    for name in oracle.people:
        expected = {history.ids[sentence] for sentence in oracle.allowed(name)}
        assert told.get(name, set()) & set(history.ids.values()) == expected, name
        answer = await _ask(team, "what-can", user=team.people[name].id)
        cans = {each["action"] for each in answer["items"] if each["resource"] is None}
        assert cans & set(history.ids.values()) == expected, name
        _explained(answer)
    for sentence in history.chance.sample(sorted(history.ids), 8):
        answer = await _ask(team, "who-can", action=history.ids[sentence])
        assert {names[each["user"]] for each in answer["items"]} == oracle.who(sentence), sentence
        _explained(answer)


def _explained(answer: dict[str, Any]) -> None:
    """Every row has a way, and the evidence counts them."""
    evidence = answer["evidence"]
    assert (evidence["unexplained"], evidence["missing"]) == (0, 0)
    assert evidence["rows"] == len(answer["items"])
    assert all(each["paths"] for each in answer["items"])


async def _ask(team: Team, question: str, **about: str) -> dict[str, Any]:
    answer = await team.administrator.ask("GET", f"{team.path}/audit/{question}", params=about)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found
