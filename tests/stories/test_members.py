"""What administrators do to members, and the answer of the next check."""

from tests.support.organization import Organization


async def test_a_suspended_member_can_do_nothing_but_keeps_their_roles(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["developer"])
    assert await acme.can(bob, "webhooks_create")

    suspended = await acme.suspend(bob)

    assert (await acme.ledger())[-1] == [f"DELETE organization:{acme.id}#member@user:{bob.id}"]
    assert not await acme.can(bob, "webhooks_create", at=suspended.headers["Zed-Token"])
    member = (await acme.administrator.ask("GET", f"{acme.path}/members/{bob.id}")).json()
    assert member["status"] == "suspended"
    assert [each["role"] for each in member["roles"]] == ["developer"]

    back = await acme.reactivate(bob)
    assert await acme.can(bob, "webhooks_create", at=back.headers["Zed-Token"])


async def test_a_role_change_is_one_position_and_one_write(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["product"])
    before = len(await acme.ledger())

    changed = await acme.change_roles(bob, "support")

    assert changed.headers["Teamaccess-Change"] == f"{acme.id}:{before + 1}"
    assert (await acme.ledger())[before:] == [
        [
            f"DELETE organization:{acme.id}#product@user:{bob.id}",
            f"TOUCH organization:{acme.id}#support@user:{bob.id}",
        ]
    ]
    token = changed.headers["Zed-Token"]
    assert await acme.can(bob, "refunds_create", at=token)
    assert not await acme.can(bob, "webhooks_send_test", at=token)
