"""What happens to one organization, through the API and in the oracle at the same time."""

from collections.abc import Awaitable, Callable
from random import Random

from tests.audit.oracle import TABLE, Oracle, Somebody
from tests.support.teams import Crew
from tests.support.world import Person, Team

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
        free = [each for each in self.ids if not self.reserved(each)]
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
        roles = self.some_roles()
        (await self.team.change_roles(self.known(person), *map(role_id, roles))).raise_for_status()
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
        name, roles = self.chance.choice(sorted(self.crews)), self.some_roles()
        (await self.crews[name].hold(*map(role_id, roles))).raise_for_status()
        self.oracle.teams[name] = roles

    def some_roles(self) -> set[str]:
        return set(self.chance.sample([*sorted(ROLES), "own"], self.chance.randint(0, 2)))

    def reserved(self, sentence: str) -> bool:
        return self.team.world.service.catalog.actions[self.ids[sentence]].reserved


def role_id(role: str) -> str:
    return ROLES.get(role, role)
