"""Remedies in random organizations work as described, and only the named members can apply them.

TEAMACCESS_SEED=<number> repeats the stories, TEAMACCESS_ORGANIZATIONS=<number> runs more of them.
"""

import os
import secrets
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from tests.audit.remedies.apply_remedy import (
    Remedy,
    apply_remedy,
    make_administrator,
    roles_of,
    steps_of,
    users_who_may_apply,
    why,
)
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, grant_to, set_grants
from tests.support.teams import Team

SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))
ORGANIZATIONS = int(os.environ.get("TEAMACCESS_ORGANIZATIONS", "1"))
QUESTIONS = 10
NAMES = ("bob", "eve", "leo", "mal", "noa")
OBJECTS = ("webhook:wh_1", "link:l_1", "transfer:t_1")


@dataclass
class Story:
    """One organization, and a question about it."""

    organization: Organization
    stranger: Person
    chance: Random
    teams: tuple[str, ...] = ("pay", "ship")

    @property
    def catalog(self) -> Any:
        """The access model."""
        return self.organization.deployment.service.catalog

    @property
    def objects(self) -> list[str | None]:
        """The registered objects, or only None if the catalog has no types."""
        known = self.catalog.types
        return [each for each in OBJECTS if each.partition(":")[0] in known] or [None]

    async def begin(self) -> None:
        """Add people, some suspended, custom roles, teams, resources and grants."""
        chance, organization = self.chance, self.organization
        roles = [
            each.id
            for each in self.catalog.roles.values()
            if each.granted_by != "operator" and each.id != self.catalog.administrator
        ]
        wanted = {name: chance.sample(roles, chance.randint(0, 2)) for name in NAMES}
        people = await organization.add_members(wanted, suspended=chance.sample(NAMES, 1))
        free = [each.id for each in self.catalog.actions.values() if not each.reserved]
        operations = ("manage_teams", "register_resources", "change_roles", "invite", "reactivate")
        guards = sorted({self.catalog.guards[each] for each in operations} & set(free))
        own = ("own", "other", "third")
        for name in own:
            actions = chance.sample(free, 4) + chance.sample(guards, 1)
            holders = chance.sample(list(people.values()), chance.randint(0, 2))
            await organization.add_custom_role(name, *sorted(set(actions)), holders=[*holders])
        team_roles = [each for each in roles if self.catalog.roles[each].teams]
        for name in self.teams:
            team = await Team.create(organization, name)
            (await team.set_roles(*chance.sample([*team_roles, *own], 2))).raise_for_status()
            (await team.add_member(chance.choice(list(people.values())))).raise_for_status()
        for name in filter(None, self.objects):
            creator = people["eve"] if name.startswith("transfer") else None
            await add_resources(organization, name, creator=creator)
            verb = chance.choice(self._verbs(name))
            holder = chance.choice((people["mal"], None)) or "pay"
            (await set_grants(organization, name, grant_to(holder, verb))).raise_for_status()

    async def ask_one_question(self) -> str:
        """Ask one question. If the answer is no, try the remedies."""
        chance, organization = self.chance, self.organization
        question = await self._question()
        if question is None:
            return "nothing left to ask"
        who, action, on = question
        found = await why(organization, who, action, on)
        assert not found["allowed"]
        remedies: list[Remedy] = found["remedies"]
        if not remedies:
            await self._assert_nothing_helps(who, action, on)
            return "none"
        remedy = chance.choice(remedies)
        if remedy["operator"]:
            assert remedies == [remedy]
            assert not remedy["by"]
            if chance.random() < 0.3:
                await self._apply(who, action, on, remedy)
            else:
                await self._assert_nothing_helps(who, action, on)
            return "operator"
        if not await self._others_are_refused(who, action, remedy):
            return "half"
        await self._apply(who, action, on, remedy)
        return "+".join(kind for kind, _ in steps_of(remedy))

    async def _question(self) -> tuple[Person, str, str | None] | None:
        """An action that a member cannot do, or None if every member can do everything."""
        people = [self.stranger, *map(self.organization.people.__getitem__, NAMES)]
        questions = [
            (who, action, on)
            for who in people
            for on in (None, *filter(None, self.objects))
            for action in (self._verbs(on) if on else self._actions())
        ]
        self.chance.shuffle(questions)
        for question in questions:
            if not await self._can(*question):
                return question
        return None

    async def _apply(self, who: Person, action: str, on: str | None, remedy: Remedy) -> None:
        """Apply the remedy as a named member.

        Then SpiceDB allows the action, and the additional actions are those that the remedy named.
        """
        before = await self._actions_of(who)
        if remedy["operator"]:
            await make_administrator(self.organization, who)
        else:
            by = self._person(self.chance.choice(users_who_may_apply(remedy)))
            done = await apply_remedy(self.organization, who, remedy, by, action)
            assert all(each.is_success for each in done), done[-1].text
        assert await self._can(who, action, on), remedy
        gained = await self._actions_of(who) - before - {action}
        four_eyes = {each.id for each in self.catalog.actions.values() if each.four_eyes}
        reported = {each for each in remedy["adds"] if " " not in each} - four_eyes
        assert gained == reported, remedy

    async def _others_are_refused(self, who: Person, action: str, remedy: Remedy) -> bool:
        """Apply the remedy as an unnamed member. Return whether the first step was refused."""
        assert remedy["more"] == 0
        others = [
            person
            for person in self.organization.people.values()
            if person.id not in users_who_may_apply(remedy) and await self._is_active(person)
        ]
        if not others or steps_of(remedy)[0][0] == "accept_invitation":
            return True
        done = await apply_remedy(
            self.organization, who, remedy, self.chance.choice(others), action
        )
        assert done[-1].status_code in (403, 404), done[-1].text
        return len(done) == 1

    async def _assert_nothing_helps(self, who: Person, action: str, on: str | None) -> None:
        """Assert that nothing the administrator can do helps: no role, no team, no grant."""
        organization = self.organization
        if on is not None and who is not self.stranger:
            await set_grants(organization, on, grant_to(who, action))
            assert not await self._can(who, action, on)
        own = ("own", "other", "third")
        mine = await roles_of(organization, who) if who is not self.stranger else []
        for role in (*self.catalog.roles, *own):
            url = f"{organization.path}/members/{who.id}/roles"
            wanted = [*(each for each in mine if each["role"] != role), {"role": role}]
            await organization.administrator.ask("PUT", url, json={"roles": wanted})
            assert not await self._can(who, action, on), role
        await organization.administrator.ask(
            "PUT", f"{organization.path}/members/{who.id}/roles", json={"roles": mine}
        )
        for name in self.teams:
            await organization.administrator.ask(
                "PUT", f"{organization.path}/teams/{name}/members/{who.id}"
            )
            assert not await self._can(who, action, on), name

    async def _actions_of(self, who: Person) -> set[str]:
        url, about = f"{self.organization.path}/audit/what-can", {"user": who.id}
        answer = (
            await self.organization.administrator.ask("GET", url, params=about)
        ).raise_for_status()
        return {each["action"] for each in answer.json()["items"] if each["resource"] is None}

    async def _can(self, who: Person, action: str, on: str | None) -> bool:
        if on is None:
            return await self.organization.can(who, action)
        return await self.organization.can(who, action, on=on)

    async def _is_active(self, person: Person) -> bool:
        return await self.organization.can(person, "membership")

    def _person(self, id: str) -> Person:
        return next(
            each for each in (self.stranger, *self.organization.people.values()) if each.id == id
        )

    def _actions(self) -> list[str]:
        return [each.id for each in self.catalog.actions.values() if not each.four_eyes]

    def _verbs(self, on: str) -> list[str]:
        return list(self.catalog.types[on.partition(":")[0]].actions)


@pytest.mark.parametrize("number", range(ORGANIZATIONS))
async def test_random_remedies_of_fintoc_work_as_described(fintoc: Deployment, number: int) -> None:
    await _run_story(fintoc, SEED + number)


@pytest.mark.parametrize("number", range(ORGANIZATIONS))
async def test_random_remedies_work_as_described_with_middle_roles(
    bank: Deployment, number: int
) -> None:
    await _run_story(bank, SEED + number)


async def _run_story(deployment: Deployment, seed: int) -> None:
    print(f"TEAMACCESS_SEED={seed}")  # noqa: T201 - shown when it fails
    organization, elsewhere = (
        await deployment.create_organization("acme"),
        await deployment.create_organization("globex"),
    )
    stranger = (await elsewhere.add_members({"zoe": []}))["zoe"]
    story = Story(organization, stranger, Random(seed))  # noqa: S311 - no secret depends on it
    await story.begin()
    for _ in range(QUESTIONS):
        print(await story.ask_one_question())  # noqa: T201 - shown when it fails
