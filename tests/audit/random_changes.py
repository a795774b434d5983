"""Random changes of one organization, made through the API and in the expected sets."""

from collections.abc import Awaitable, Callable
from random import Random

from tests.audit.expected_access import TABLE, ExpectedAccess, ExpectedMember
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.teams import Team

ROLES = {
    "Operations": "operations",
    "Finance and Accounting": "finance_and_accounting",
    "Support": "support",
    "Product": "product",
    "Developer": "developer",
}


class RandomChanges:
    """Random changes of one organization, made through the API and in the expected sets."""

    def __init__(self, organization: Organization, chance: Random) -> None:
        self.organization, self.chance, self.expected = organization, chance, ExpectedAccess()
        self.teams: dict[str, Team] = {}
        actions = organization.deployment.service.catalog.actions.values()
        self.ids = {each.description: each.id for each in actions if each.description in TABLE}
        self.expected.people["ana"] = ExpectedMember(roles={"Administrator"})

    async def begin(self) -> None:
        """Bring in people, two teams and a role of the organization's own."""
        for name in ("bob", "eve", "mal", "zoe"):
            [role] = self.chance.sample(sorted(ROLES), 1)
            await self.organization.member(name, [ROLES[role]])
            self.expected.people[name] = ExpectedMember(roles={role})
        for name in ("pay", "ship"):
            self.teams[name] = await Team.create(self.organization, name)
            self.expected.teams[name] = set()
        free = [each for each in self.ids if not self.reserved(each)]
        sentences = self.chance.sample(sorted(free), 4)
        body = {"id": "own", "name": "Own", "actions": [self.ids[each] for each in sentences]}
        made = await self.organization.administrator.ask(
            "POST", f"{self.organization.path}/roles", json=body
        )
        made.raise_for_status()
        self.expected.custom["own"] = set(sentences)

    async def change_one_thing(self) -> None:
        """Make one random change."""
        person = self.chance.choice(["bob", "eve", "mal", "zoe"])
        operations: list[Callable[[str], Awaitable[None]]] = [
            *(self._roles, self._suspend, self._reactivate),
            *(self._join, self._leave, self._team_roles),
        ]
        await self.chance.choice(operations)(person)

    def person(self, name: str) -> Person:
        """A person, signed in."""
        return self.organization.people[name]

    async def _roles(self, person: str) -> None:
        roles = self.some_roles()
        (
            await self.organization.change_roles(self.person(person), *map(role_id, roles))
        ).raise_for_status()
        self.expected.people[person].roles = roles

    async def _suspend(self, person: str) -> None:
        answer = await self.organization.suspend(self.person(person))
        assert answer.is_success == self.expected.people[person].active
        self.expected.people[person].active = False

    async def _reactivate(self, person: str) -> None:
        answer = await self.organization.reactivate(self.person(person))
        assert answer.is_success != self.expected.people[person].active
        self.expected.people[person].active = True

    async def _join(self, person: str) -> None:
        name = self.chance.choice(sorted(self.teams))
        (await self.teams[name].add_member(self.person(person))).raise_for_status()
        self.expected.people[person].teams.add(name)

    async def _leave(self, person: str) -> None:
        for name in sorted(self.expected.people[person].teams):
            (await self.teams[name].remove_member(self.person(person))).raise_for_status()
            self.expected.people[person].teams.remove(name)

    async def _team_roles(self, _: str) -> None:
        name, roles = self.chance.choice(sorted(self.teams)), self.some_roles()
        (await self.teams[name].set_roles(*map(role_id, roles))).raise_for_status()
        self.expected.teams[name] = roles

    def some_roles(self) -> set[str]:
        return set(self.chance.sample([*sorted(ROLES), "own"], self.chance.randint(0, 2)))

    def reserved(self, sentence: str) -> bool:
        return self.organization.deployment.service.catalog.actions[self.ids[sentence]].reserved


def role_id(role: str) -> str:
    return ROLES.get(role, role)
