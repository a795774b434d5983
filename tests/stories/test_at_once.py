"""Requests that meet: the organization's lock lets one of them be first."""

import asyncio
from typing import Any

import httpx
import pytest

from teamaccess.directory.members import imports
from teamaccess.directory.members.imports import Newcomer, import_members
from teamaccess.storage import RoleId, User, UserId, new_user_id
from tests.support.agreement import assert_agreement
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


async def test_one_address_invited_ten_times_at_once_is_invited_once(acme: Organization) -> None:
    answers = await asyncio.gather(*(acme.invite("bob", ["support"]) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert len(acme.deployment.mails_to(acme.address("bob"))) == 1


async def test_one_organization_id_created_ten_times_at_once_is_created_once(
    initech: Organization,
) -> None:
    body = {"id": f"{initech.id}-b", "name": "B"}
    founders = (
        await initech.add_members({f"founder{number}": [] for number in range(10)})
    ).values()

    answers = await asyncio.gather(
        *(founder.ask("POST", "/v1/organizations", json=body) for founder in founders)
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    for founder, answer in zip(founders, answers, strict=True):
        may = await initech.deployment.check(body["id"], founder.id, "members_invite")
        assert may == (answer.status_code == 201)


async def test_a_new_address_that_accepts_two_organizations_at_once_becomes_one_user(
    acme: Organization, globex: Organization
) -> None:
    for number in range(5):
        address = f"bob{number}@{acme.id}.example"
        secrets = []
        for organization in (acme, globex):
            body = {"email": address, "roles": ["support"]}
            await organization.administrator.ask(
                "POST", f"{organization.path}/invitations", json=body
            )
            secrets.append(acme.deployment.invitation_token(address))

        answers = await asyncio.gather(
            *(
                acme.deployment.http.post("/v1/invitations/accept", json={"token": s})
                for s in secrets
            )
        )

        made, reported = sorted(answers, key=lambda answer: answer.status_code)
        refused(reported, 401, "sign_in_to_accept")
        bob = Person(acme.deployment, UserId(made.json()["user"]), "", made.json()["access_token"])
        rest = [await bob.ask("POST", "/v1/invitations/accept", json={"token": s}) for s in secrets]
        assert sorted(answer.status_code for answer in rest) == [200, 409]


async def test_the_same_people_imported_into_two_organizations_at_once_are_one_user_each(
    acme: Organization, globex: Organization
) -> None:
    addresses = [f"p{number}@{acme.id}.example" for number in range(1000)]

    await asyncio.gather(
        _import(acme, addresses), _import(globex, addresses[::-1]), _import(acme, addresses[500:])
    )

    people = await acme.roles_by_member()
    assert len(people) == len(addresses) + 1
    assert people.keys() - {acme.administrator.id} == (await globex.roles_by_member()).keys() - {
        globex.administrator.id
    }
    for organization in (acme, globex):
        await assert_agreement(organization)


async def test_an_import_waits_for_a_change_that_creates_the_same_users(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, tries, again = acme.address("bob"), 0, asyncio.Event()
    bob, join = User(id=new_user_id(), email=address), imports.join

    async def trying(*batch: Any) -> list[imports.ImportedMember]:
        nonlocal tries
        tries += 1
        if tries > 1:
            again.set()
        return await join(*batch)

    monkeypatch.setattr(imports, "join", trying)
    async with acme.deployment.service.sessions() as session, asyncio.TaskGroup() as both:
        session.add(bob)
        await session.flush()
        both.create_task(_import(acme, [address]))
        await again.wait()
        await session.commit()

    assert (await acme.roles_by_member())[bob.id] == ["support"]
    await assert_agreement(acme)


async def _import(organization: Organization, addresses: list[str]) -> None:
    service = organization.deployment.service
    people = [Newcomer(address, None, RoleId("support")) for address in addresses]
    brought = import_members(service.ledger, service.applier, OPERATOR, organization.id, people)
    assert sum([len(batch.members) async for batch in brought]) == len(addresses)


async def test_many_changes_of_one_member_at_once_all_count_one_after_the_other(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    before = len(await acme.ledger())
    roles = ["support", "product", "developer", "operations", "finance_and_accounting"]

    answers = await asyncio.gather(*(acme.change_roles(bob, role) for role in roles))

    assert {answer.status_code for answer in answers} == {200}
    places = [int(each.headers["Teamaccess-Change"].rpartition(":")[2]) for each in answers]
    assert sorted(places) == list(range(before + 1, before + 6))
    last = roles[places.index(before + 5)]
    assert (await acme.roles_by_member())[bob.id] == [last]
    mine = await bob.ask("GET", f"{acme.path}/permissions")
    assert mine.json()["actions"] == sorted(acme.deployment.service.catalog.actions_of([last]))


async def test_a_member_removed_while_inviting_has_invited_before_or_not_at_all(
    acme: Organization,
) -> None:
    for number in range(5):
        ada = (await acme.add_members({f"ada{number}": ["administrator"]}))[f"ada{number}"]
        invited, removed = await asyncio.gather(
            acme.invite(f"bob{number}", ["support"], by=ada), acme.remove(ada)
        )
        assert removed.status_code == 204
        assert invited.status_code in (201, 401, 404)
        if invited.status_code == 201:
            refused(await acme.accept(f"bob{number}"), 409, "inviter_lost_rights")


async def test_reading_members_while_they_are_removed_never_fails(fintoc: Deployment) -> None:
    acme = await fintoc.create_organization("acme")
    people = await acme.add_members({f"member{number}": ["support"] for number in range(12)})

    answers = await asyncio.gather(
        *(person.ask("GET", f"{acme.path}/members") for person in people.values()),
        *(acme.remove(person) for person in people.values()),
        *(person.ask("GET", acme.path) for person in people.values()),
    )

    assert {answer.status_code for answer in answers} <= {200, 204, 401, 404}
    assert [answer.status_code for answer in answers].count(204) == 12


async def test_one_invitation_accepted_fifty_times_at_once_makes_one_member(
    acme: Organization,
) -> None:
    await acme.invite("bob", ["support"])
    answers = await asyncio.gather(*(acme.accept("bob") for _ in range(50)))

    [made] = [answer for answer in answers if answer.status_code == 200]
    for answer in answers:
        if answer is not made:
            refused(answer, 409, "invitation_ended")
    assert await acme.roles_by_member() == {
        acme.administrator.id: ["administrator"],
        made.json()["user"]: ["support"],
    }
    await assert_agreement(acme)


async def test_of_a_concurrent_acceptance_and_cancellation_one_succeeds(acme: Organization) -> None:
    for number in range(8):
        name = f"bob{number}"
        id = (await acme.invite(name, ["support"])).json()["id"]
        before = len(await acme.roles_by_member())
        accepted, cancelled = await asyncio.gather(
            acme.accept(name),
            acme.administrator.ask("DELETE", f"{acme.path}/invitations/{id}"),
        )
        outcome = (accepted.status_code, cancelled.status_code)
        assert outcome in {(200, 409), (409, 204)}
        assert len(await acme.roles_by_member()) == before + (outcome == (200, 409))
    await assert_agreement(acme)


async def test_the_same_key_sent_ten_times_at_once_is_done_once(acme: Organization) -> None:
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
    assert len(acme.deployment.mails_to(acme.address("bob"))) == 1
    refused(await invite(acme.address("eve")), 409, "idempotency_key_reused")


async def test_of_two_administrators_who_demote_each_other_at_once_one_remains(
    initech: Organization,
) -> None:
    for number in range(5):
        eve = (await initech.add_members({f"eve{number}": ["admin"]}))[f"eve{number}"]
        ana = initech.administrator
        answers = await asyncio.gather(
            initech.change_roles(eve, "read", by=ana), initech.change_roles(ana, "read", by=eve)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 403]
        if (await initech.roles_by_member())[ana.id] == ["read"]:
            await initech.change_roles(ana, "admin", by=eve)
        await initech.remove(eve)
    await assert_agreement(initech)
