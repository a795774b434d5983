"""Requests that meet: the organization's lock lets one of them be first."""

import asyncio
from typing import Any

import httpx
import pytest

from teamaccess.directory.members import imports
from teamaccess.directory.members.imports import Newcomer, import_members
from teamaccess.storage import RoleId, User, UserId, new_user_id
from tests.support.sides import agreed
from tests.support.steps import enlist, members, refused
from tests.support.world import OPERATOR, Person, Team, World


async def test_one_address_invited_ten_times_at_once_is_invited_once(acme: Team) -> None:
    answers = await asyncio.gather(*(acme.invite("bob", ["support"]) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert len(acme.world.mails_to(acme.address("bob"))) == 1


async def test_one_id_founded_ten_times_at_once_is_founded_once(initech: Team) -> None:
    body = {"id": f"{initech.id}-b", "name": "B"}
    founders = (await enlist(initech, {f"founder{number}": [] for number in range(10)})).values()

    answers = await asyncio.gather(
        *(founder.ask("POST", "/v1/organizations", json=body) for founder in founders)
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    for founder, answer in zip(founders, answers, strict=True):
        may = await initech.world.check(body["id"], founder.id, "members_invite")
        assert may == (answer.status_code == 201)


async def test_a_new_address_that_accepts_two_organizations_at_once_becomes_one_user(
    acme: Team, globex: Team
) -> None:
    for number in range(5):
        address = f"bob{number}@{acme.id}.example"
        secrets = []
        for team in (acme, globex):
            body = {"email": address, "roles": ["support"]}
            await team.administrator.ask("POST", f"{team.path}/invitations", json=body)
            secrets.append(acme.world.secret_for(address))

        answers = await asyncio.gather(
            *(acme.world.http.post("/v1/invitations/accept", json={"token": s}) for s in secrets)
        )

        made, told = sorted(answers, key=lambda answer: answer.status_code)
        refused(told, 401, "sign_in_to_accept")
        bob = Person(acme.world, UserId(made.json()["user"]), "", made.json()["access_token"])
        rest = [await bob.ask("POST", "/v1/invitations/accept", json={"token": s}) for s in secrets]
        assert sorted(answer.status_code for answer in rest) == [200, 409]


async def test_the_same_people_imported_into_two_organizations_at_once_are_one_user_each(
    acme: Team, globex: Team
) -> None:
    addresses = [f"p{number}@{acme.id}.example" for number in range(1000)]

    await asyncio.gather(
        _import(acme, addresses), _import(globex, addresses[::-1]), _import(acme, addresses[500:])
    )

    people = await members(acme)
    assert len(people) == len(addresses) + 1
    assert people.keys() - {acme.administrator.id} == (await members(globex)).keys() - {
        globex.administrator.id
    }
    for team in (acme, globex):
        await agreed(team)


async def test_an_import_waits_for_who_makes_the_same_people_users(
    acme: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, tries, again = acme.address("bob"), 0, asyncio.Event()
    bob, join = User(id=new_user_id(), email=address), imports._join

    async def trying(*batch: Any) -> int:
        nonlocal tries
        tries += 1
        if tries > 1:
            again.set()
        return await join(*batch)

    monkeypatch.setattr(imports, "_join", trying)
    async with acme.world.service.sessions() as session, asyncio.TaskGroup() as both:
        session.add(bob)
        await session.flush()
        both.create_task(_import(acme, [address]))
        await again.wait()
        await session.commit()

    assert (await members(acme))[bob.id] == ["support"]
    await agreed(acme)


async def _import(team: Team, addresses: list[str]) -> None:
    service = team.world.service
    people = [Newcomer(address, None, RoleId("support")) for address in addresses]
    brought = import_members(service.ledger, service.applier, OPERATOR, team.id, people)
    assert sum([batch async for batch, _ in brought]) == len(addresses)


async def test_many_changes_of_one_member_at_once_all_count_one_after_the_other(
    acme: Team,
) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]
    before = len(await acme.ledger())
    roles = ["support", "product", "developer", "operations", "finance_and_accounting"]

    answers = await asyncio.gather(*(acme.change_roles(bob, role) for role in roles))

    assert {answer.status_code for answer in answers} == {200}
    places = [int(each.headers["Teamaccess-Change"].rpartition(":")[2]) for each in answers]
    assert sorted(places) == list(range(before + 1, before + 6))
    last = roles[places.index(before + 5)]
    assert (await members(acme))[bob.id] == [last]
    mine = await bob.ask("GET", f"{acme.path}/permissions")
    assert mine.json()["actions"] == sorted(acme.world.service.catalog.actions_of([last]))


async def test_somebody_removed_while_they_invite_has_invited_before_or_not_at_all(
    acme: Team,
) -> None:
    for number in range(5):
        ada = (await enlist(acme, {f"ada{number}": ["administrator"]}))[f"ada{number}"]
        invited, removed = await asyncio.gather(
            acme.invite(f"bob{number}", ["support"], by=ada), acme.act("remove", ada)
        )
        assert removed.status_code == 204
        assert invited.status_code in (201, 401, 404)
        if invited.status_code == 201:
            refused(await acme.accept(f"bob{number}"), 409, "inviter_lost_rights")


async def test_reading_members_while_they_are_removed_never_fails(fintoc: World) -> None:
    acme = await fintoc.create("acme")
    people = await enlist(acme, {f"member{number}": ["support"] for number in range(12)})

    answers = await asyncio.gather(
        *(person.ask("GET", f"{acme.path}/members") for person in people.values()),
        *(acme.act("remove", person) for person in people.values()),
        *(person.ask("GET", acme.path) for person in people.values()),
    )

    assert {answer.status_code for answer in answers} <= {200, 204, 401, 404}
    assert [answer.status_code for answer in answers].count(204) == 12


async def test_one_invitation_accepted_fifty_times_at_once_makes_one_member(acme: Team) -> None:
    await acme.invite("bob", ["support"])
    answers = await asyncio.gather(*(acme.accept("bob") for _ in range(50)))

    [made] = [answer for answer in answers if answer.status_code == 200]
    for answer in answers:
        if answer is not made:
            refused(answer, 409, "invitation_ended")
    assert await members(acme) == {
        acme.administrator.id: ["administrator"],
        made.json()["user"]: ["support"],
    }
    await agreed(acme)


async def test_of_accepting_and_cancelling_at_once_one_happens(acme: Team) -> None:
    for number in range(8):
        name = f"bob{number}"
        id = (await acme.invite(name, ["support"])).json()["id"]
        before = len(await members(acme))
        accepted, cancelled = await asyncio.gather(
            acme.accept(name),
            acme.administrator.ask("DELETE", f"{acme.path}/invitations/{id}"),
        )
        outcome = (accepted.status_code, cancelled.status_code)
        assert outcome in {(200, 409), (409, 204)}
        assert len(await members(acme)) == before + (outcome == (200, 409))
    await agreed(acme)


async def test_the_same_key_sent_ten_times_at_once_is_done_once(acme: Team) -> None:
    async def invite(address: str) -> httpx.Response:
        return await acme.administrator.ask(
            "POST",
            f"{acme.path}/invitations",
            json={"email": address, "roles": ["support"]},
            headers={"Idempotency-Key": f"once-{acme.id}"},
        )

    answers = await asyncio.gather(*(invite(acme.address("bob")) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(acme.world.mails_to(acme.address("bob"))) == 1
    refused(await invite(acme.address("eve")), 409, "idempotency_key_reused")


async def test_of_two_administrators_who_demote_each_other_at_once_one_stays(
    initech: Team,
) -> None:
    for number in range(5):
        eve = (await enlist(initech, {f"eve{number}": ["admin"]}))[f"eve{number}"]
        ana = initech.administrator
        answers = await asyncio.gather(
            initech.change_roles(eve, "read", by=ana), initech.change_roles(ana, "read", by=eve)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 403]
        if (await members(initech))[ana.id] == ["read"]:
            await initech.change_roles(ana, "admin", by=eve)
        await initech.act("remove", eve)
    await agreed(initech)
