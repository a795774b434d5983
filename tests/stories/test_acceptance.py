"""Who may accept an invitation, and what happens if things have changed since."""

import asyncio

import httpx

from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.storage import Event
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


async def accept(person: Person, secret: str) -> httpx.Response:
    """Accept while signed in."""
    return await person.ask("POST", "/v1/invitations/accept", json={"token": secret})


async def test_the_link_proves_a_new_address_and_creates_the_user(
    acme: Organization,
) -> None:
    await acme.invite("bob", ["support"])

    accepted = await acme.accept("bob")

    assert accepted.status_code == 200
    bob = Person(acme.deployment, accepted.json()["user"], "", accepted.json()["access_token"])
    assert accepted.json()["organization"] == acme.id
    me = (await bob.ask("GET", "/v1/me")).json()
    assert (me["id"], me["email"], me["name"]) == (bob.id, acme.address("bob"), "Bob")
    token = accepted.headers["Zed-Token"]
    assert await acme.can(bob, "refunds_create", at=token)
    assert not await acme.can(bob, "webhooks_create", at=token)
    assert accepted.headers["Teamaccess-Change"] == f"{acme.id}:{len(await acme.ledger())}"


async def test_an_acceptance_ends_the_invitation_and_creates_the_membership_in_one_position(
    acme: Organization,
) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    bob = (await acme.accept("bob")).json()["user"]

    row = await acme.invitation(id)
    deleted, *made = (await acme.ledger())[-1]
    assert deleted.startswith(f"DELETE invitation:{acme.id}/{id}#invitee@email:{row.invitee}[exp")
    assert made == [
        f"TOUCH organization:{acme.id}#member@user:{bob}",
        f"TOUCH organization:{acme.id}#support@user:{bob}",
    ]


async def test_an_invitee_with_an_account_signs_in_to_accept(
    acme: Organization, globex: Organization
) -> None:
    bob = await acme.member("bob", roles=["support"])
    body = {"email": bob.email, "roles": ["product"]}
    await globex.administrator.ask("POST", f"{globex.path}/invitations", json=body)
    secret = globex.deployment.invitation_token(bob.email)

    unknown = await globex.deployment.http.post("/v1/invitations/accept", json={"token": secret})
    refused(unknown, 401, "sign_in_to_accept")
    assert unknown.headers["WWW-Authenticate"] == "Bearer"

    accepted = await accept(bob, secret)
    assert accepted.status_code == 200
    assert accepted.json()["user"] == bob.id
    assert await globex.can(bob, "webhooks_send_test")
    assert await acme.can(bob, "refunds_create")


async def test_a_user_with_another_address_cannot_accept_and_the_invitation_stays_open(
    acme: Organization,
) -> None:
    eve = await acme.member("eve", roles=["support"])
    await acme.invite("bob", ["product"])
    secret = acme.deployment.invitation_token(acme.address("bob"))

    refused(await accept(eve, secret), 403, "accepts_for_somebody_else")
    refused(await accept(acme.administrator, secret), 403, "accepts_for_somebody_else")

    reported = (await acme.events())[-1]
    assert reported.kind == "acceptance_refused"
    assert reported.actor == f"user:{acme.administrator.id}"
    assert reported.details == {"code": "accepts_for_somebody_else"}
    assert (await acme.accept("bob")).status_code == 200


async def test_an_invitation_is_accepted_once(acme: Organization) -> None:
    await acme.invite("bob", ["support"])
    secret = acme.deployment.invitation_token(acme.address("bob"))
    first = (await acme.accept("bob")).json()
    bob = Person(acme.deployment, first["user"], "", first["access_token"])
    before = await acme.ledger()

    refused(await accept(bob, secret), 409, "invitation_ended")
    refused(await acme.accept("bob"), 409, "invitation_ended")

    assert await acme.ledger() == before


async def test_fifty_concurrent_acceptances_create_one_user_and_one_membership(
    acme: Organization,
) -> None:
    await acme.invite("bob", ["support"])

    answers = await asyncio.gather(*(acme.accept("bob") for _ in range(50)))

    assert [answer.status_code for answer in answers].count(200) == 1
    assert {answer.status_code for answer in answers} == {200, 409}
    assert len(await acme.roles_by_member()) == 2
    assert sum("#member@" in str(updates) for updates in await acme.ledger()) == 2


async def test_of_a_concurrent_cancellation_and_acceptance_one_succeeds(
    acme: Organization,
) -> None:
    for number in range(5):
        name = f"guest{number}"
        id = (await acme.invite(name, ["support"])).json()["id"]

        accepted, cancelled = await asyncio.gather(
            acme.accept(name), acme.administrator.ask("DELETE", f"{acme.path}/invitations/{id}")
        )

        row = await acme.invitation(id)
        assert (row.accepted_at is None) != (row.cancelled_at is None)
        assert (accepted.status_code == 200) == (row.accepted_at is not None)
        assert (cancelled.status_code == 204) == (row.cancelled_at is not None)


async def test_an_invitation_of_a_demoted_removed_or_suspended_inviter_gives_nothing(
    initech: Organization,
) -> None:
    for name, fate in (("may", "demote"), ("max", "suspend"), ("mia", "remove")):
        inviter = await initech.member(name, roles=["admin"])
        guest = f"guest-of-{name}"
        await initech.invite(guest, ["write"], by=inviter)
        if fate == "demote":
            await initech.change_roles(inviter, "write")
        else:
            await initech.change_status(fate, inviter)
        before = await initech.ledger()

        refused(await initech.accept(guest), 409, "inviter_lost_rights")

        assert await initech.ledger() == before
        assert (await initech.events())[-1].details == {"code": "inviter_lost_rights"}


async def test_resending_makes_the_sender_the_inviter_and_the_invitation_valid_again(
    initech: Organization,
) -> None:
    max = await initech.member("max", roles=["admin"])
    id = (await initech.invite("guest", ["write"], by=max)).json()["id"]
    await initech.remove(max)
    refused(await initech.accept("guest"), 409, "inviter_lost_rights")

    await initech.administrator.ask("POST", f"{initech.path}/invitations/{id}/resend")

    assert (await initech.accept("guest")).status_code == 200
    assert (await initech.invitation(id)).invited_by == initech.administrator.id


async def test_an_inviter_who_lost_the_offered_role_gives_nothing(
    branch: Organization,
) -> None:
    people = await branch.add_members({"lea": ["lead"]})
    id = (await branch.invite("guest", ["clerk"], by=people["lea"])).json()["id"]
    await branch.replace_offered_roles(id, ["auditor"])

    refused(await branch.accept("guest"), 409, "inviter_lost_rights")
    assert len(await branch.roles_by_member()) == 2


async def test_an_old_invitation_to_an_operators_role_or_an_unknown_role_gives_nothing(
    acme: Organization,
) -> None:
    for role, status, code in (
        ("administrator", 403, "operator_only_role"),
        ("wizard", 409, "offered_role_gone"),
    ):
        id = (await acme.invite(f"bob-{role}", ["support"])).json()["id"]
        await acme.replace_offered_roles(id, [role])
        refused(await acme.accept(f"bob-{role}"), status, code)
    assert len(await acme.roles_by_member()) == 1


async def test_an_invitee_who_became_a_member_meanwhile_does_not_become_one_twice(
    acme: Organization,
) -> None:
    await acme.invite("bob", ["support"])
    bob = (await acme.add_members({"bob": ["developer"]}))["bob"]

    refused(await accept(bob, acme.deployment.invitation_token(bob.email)), 409, "already_member")
    assert (await acme.roles_by_member())[bob.id] == ["developer"]


async def test_tokens_that_belong_to_no_invitation_all_get_the_same_answer(
    fintoc: Deployment,
) -> None:
    for token in ("x", "x" * 43, "ö", "../..", "' OR 1=1 --"):
        answer = await fintoc.http.post("/v1/invitations/accept", json={"token": token})
        refused(answer, 404, "unknown_invitation_token")


async def test_an_acceptance_is_an_event_of_the_organization_and_a_sign_in(
    acme: Organization,
) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    accepted = await acme.accept("bob")
    bob = accepted.json()["user"]

    reported, signed_in = (await acme.events())[-2:]
    invited = f"user:{bob} invited by user:{acme.administrator.id}"
    assert (reported.kind, reported.actor) == ("invitation_accepted", invited)
    assert reported.subject == f"invitation:{id}"
    assert reported.details == {
        "user": bob,
        "roles": ["support"],
        "invited_by": acme.administrator.id,
    }
    assert reported.request_id == accepted.headers["X-Request-Id"]
    assert (signed_in.kind, signed_in.subject) == ("signed_in", f"user:{bob}")


async def test_an_old_invitation_does_not_bring_back_a_removed_member(acme: Organization) -> None:
    await acme.invite("bob", ["developer"])
    async with acme.deployment.operator(acme.id) as change:
        bob = await grant_administrator(change, acme.id, acme.address("bob"), "in a hurry")
    person = Person(acme.deployment, bob.user_id, "", await acme.deployment.token(bob.user_id))
    await acme.invite("eve", ["support"], by=person)
    assert (await acme.remove(person)).status_code == 204

    person.token = await acme.deployment.token(person.id)
    refused(
        await accept(person, acme.deployment.invitation_token(acme.address("bob"))),
        409,
        "invitation_ended",
    )
    assert not await acme.can(person, "webhooks_create")


async def test_an_old_link_neither_locks_the_organization_nor_adds_events(
    acme: Organization,
) -> None:
    await acme.member("bob", ["support"])
    before = len(await acme.events())
    async with acme.deployment.operator(acme.id):
        for _ in range(20):
            refused(await acme.accept("bob"), 409, "invitation_ended")
    requests = set()
    for guess in range(20):
        tried = await acme.deployment.http.post(
            "/v1/invitations/accept", json={"token": f"guess-{guess}"}
        )
        refused(tried, 404, "unknown_invitation_token")
        requests.add(tried.headers["X-Request-Id"])
    assert len(await acme.events()) == before
    platform = await acme.deployment.events(Event.PLATFORM)
    assert requests.isdisjoint(event.request_id for event in platform)
