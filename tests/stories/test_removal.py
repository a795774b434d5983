"""The effects of a removal as soon as it is answered."""

import asyncio

from tests.support.organization import Organization
from tests.support.responses import refused

CHECKS = 1000


async def test_after_a_removal_answers_a_thousand_checks_with_its_token_are_all_refused(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["developer", "support"])
    warm = [acme.can(bob, "webhooks_create") for _ in range(20)]
    assert all(await asyncio.gather(*warm))

    removed = await acme.remove(bob)

    assert removed.status_code == 204
    token = removed.headers["Zed-Token"]
    answers = [
        await asyncio.gather(*(acme.can(bob, "webhooks_create", at=token) for _ in range(50)))
        for _ in range(CHECKS // 50)
    ]
    assert sum(map(len, answers)) == CHECKS
    assert not any(map(any, answers))
    assert not await acme.can(bob, "webhooks_create")
    assert not await acme.can(bob, "membership")


async def test_a_removal_deletes_the_gate_and_every_role_in_one_position(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["developer", "support"])

    removed = await acme.remove(bob)

    ledger = await acme.ledger()
    assert removed.headers["Teamaccess-Change"] == f"{acme.id}:{len(ledger)}"
    assert ledger[-1] == [
        f"DELETE organization:{acme.id}#developer@user:{bob.id}",
        f"DELETE organization:{acme.id}#member@user:{bob.id}",
        f"DELETE organization:{acme.id}#support@user:{bob.id}",
    ]
    assert (await acme.events())[-1].kind == "member_removed"


async def test_checks_during_a_removal_turn_to_no_and_stay_there(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["developer"])
    answers: list[bool] = []

    async def keep_asking() -> None:
        while answers.count(False) < 20:
            answers.append(await acme.can(bob, "webhooks_create"))

    asking = asyncio.create_task(keep_asking())
    await acme.remove(bob)
    await asking

    assert answers.index(False) + 20 == len(answers)


async def test_removed_members_are_signed_out_and_their_old_tokens_are_refused(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["developer"])
    assert (await bob.ask("GET", "/v1/me")).status_code == 200

    await acme.remove(bob)

    refused(await bob.ask("GET", "/v1/me"), 401, "invalid_token")
    bob.token = await acme.deployment.token(bob.id)
    assert (await bob.ask("GET", "/v1/me")).status_code == 200
    refused(await bob.ask("GET", f"{acme.path}/permissions"), 404, "unknown_organization")
    refused(await bob.ask("POST", f"{acme.path}/leave"), 404, "unknown_organization")
    assert (await bob.ask("GET", "/v1/organizations")).json()["items"] == []


async def test_removed_members_can_be_invited_again_and_get_only_the_offered_roles(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["developer", "support"])
    await acme.remove(bob)

    await acme.invite("bob", ["product"])
    signed_in = {"Authorization": f"Bearer {await acme.deployment.token(bob.id)}"}
    accepted = await acme.accept("bob", headers=signed_in)

    assert accepted.json()["user"] == bob.id
    bob.token = accepted.json()["access_token"]
    mine = (await bob.ask("GET", f"{acme.path}/permissions")).json()["actions"]
    assert "webhooks_send_test" in mine
    assert "webhooks_create" not in mine
    assert "refunds_create" not in mine


async def test_leaving_ends_a_membership_as_a_removal_does(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["developer"])

    left = await bob.ask("POST", f"{acme.path}/leave")

    assert left.status_code == 204
    assert not await acme.can(bob, "webhooks_create", at=left.headers["Zed-Token"])
    refused(await bob.ask("GET", "/v1/me"), 401, "invalid_token")
    gone = await acme.administrator.ask("GET", f"{acme.path}/members/{bob.id}")
    refused(gone, 404, "unknown_member")


async def test_deleting_an_organization_ends_all_access_in_it(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["developer"])
    await acme.invite("eve", ["support"])
    secret = acme.deployment.invitation_token(acme.address("eve"))

    ended = await acme.administrator.ask("DELETE", acme.path)

    assert ended.status_code == 204
    token = ended.headers["Zed-Token"]
    assert not await acme.can(bob, "webhooks_create", at=token)
    assert not await acme.can(acme.administrator, "users_invite", at=token)
    refused(await acme.administrator.ask("GET", acme.path), 404, "unknown_organization")
    refused(await acme.administrator.ask("DELETE", acme.path), 404, "unknown_organization")
    late = await acme.deployment.http.post("/v1/invitations/accept", json={"token": secret})
    refused(late, 404, "unknown_invitation_token")
