"""Replacing a member's roles, some of them until a time."""

from datetime import UTC, datetime, timedelta

import pytest
from authzed.api.v1 import RelationshipFilter

from tests.stories.custom_roles import create_role
from tests.support.organization import Organization
from tests.support.responses import refused

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
LATER = SOON + timedelta(days=30)
YEAR = SOON.year + 2


def until(at: datetime | None) -> str | None:
    """A time as JSON has it."""
    return at.isoformat() if at else None


async def test_a_kept_role_stays_in_force_throughout_and_unchanged(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support", "product"])
    member = f"{acme.path}/members/{bob.id}"
    before = (await acme.administrator.ask("GET", member)).json()["roles"]

    changed = await acme.change_roles(bob, "developer", "support")

    assert (await acme.ledger())[-1] == [
        f"DELETE organization:{acme.id}#product@user:{bob.id}",
        f"TOUCH organization:{acme.id}#developer@user:{bob.id}",
    ]
    after = {each["role"]: each for each in changed.json()["roles"]}
    assert after["support"] == next(each for each in before if each["role"] == "support")
    assert after.keys() == {"developer", "support"}
    assert (await acme.administrator.ask("GET", member)).json()["roles"] == changed.json()["roles"]


async def test_setting_the_same_roles_changes_nothing_and_answers_with_the_current_position(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["support"])
    before = await acme.ledger()

    changed = await acme.change_roles(bob, "support")

    assert changed.status_code == 200
    assert await acme.ledger() == before
    assert changed.headers["Teamaccess-Change"] == f"{acme.id}:{len(before)}"
    assert await acme.can(bob, "refunds_create", at=changed.headers["Zed-Token"])


async def test_a_member_without_roles_is_still_a_member(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])

    changed = await acme.change_roles(bob)

    assert changed.json()["roles"] == []
    assert not await acme.can(bob, "refunds_create")
    assert await acme.can(bob, "membership")
    assert (await bob.ask("GET", f"{acme.path}/permissions")).json()["actions"] == []
    refused(await bob.ask("GET", acme.path), 403, "missing_permission")


async def test_a_role_may_expire_and_spicedb_knows_when(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    wanted = {"roles": [{"role": "support"}, {"role": "developer", "expires_at": until(SOON)}]}

    changed = await acme.administrator.ask(
        "PUT", f"{acme.path}/members/{bob.id}/roles", json=wanted
    )

    roles = {each["role"]: each["expires_at"] for each in changed.json()["roles"]}
    assert roles["support"] is None
    assert datetime.fromisoformat(roles["developer"]) == SOON
    stamp = SOON.isoformat().replace("+00:00", "Z")
    assert (await acme.ledger())[-1] == [
        f"TOUCH organization:{acme.id}#developer@user:{bob.id}[expiration:{stamp}]"
    ]
    assert await acme.can(bob, "webhooks_create")
    assert (await acme.events())[-1].details["ends"] == {"developer": SOON.isoformat()}


async def test_an_expired_role_allows_nothing(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support", "developer"])

    await acme.set_role_expiry(bob, "developer", datetime.now(UTC) - timedelta(seconds=1))

    assert not await acme.can(bob, "webhooks_create")
    assert await acme.can(bob, "refunds_create")


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (f"{YEAR}-12-31T23:59:59.999998Z", f"{YEAR}-12-31T23:59:59.999998+00:00"),
        (f"{YEAR}-01-01T00:00:00.1234567Z", f"{YEAR}-01-01T00:00:00.123456+00:00"),
        (f"{YEAR}-01-01T05:30:00+05:30", f"{YEAR}-01-01T00:00:00+00:00"),
        (f"{YEAR}-01-01t00:00:00z", f"{YEAR}-01-01T00:00:00+00:00"),
    ],
)
async def test_an_expiry_is_stored_in_utc_to_the_microsecond_on_both_sides(
    acme: Organization, wanted: str, kept: str
) -> None:
    bob = await acme.member("bob", roles=["support"])
    body = {"roles": [{"role": "support", "expires_at": wanted}]}

    changed = await acme.administrator.ask("PUT", f"{acme.path}/members/{bob.id}/roles", json=body)

    assert changed.status_code == 200, changed.text
    shown = datetime.fromisoformat(changed.json()["roles"][0]["expires_at"])
    assert shown == datetime.fromisoformat(kept)
    stamp = kept.replace("+00:00", "Z")
    held = f"organization:{acme.id}#support@user:{bob.id}"
    assert (await acme.ledger())[-1] == [f"TOUCH {held}[expiration:{stamp}] WAS {held}"]
    engine = acme.deployment.service.engine
    found = [
        each.expiration
        async for each, _ in engine.read(
            RelationshipFilter(
                resource_type="organization",
                optional_resource_id=acme.id,
                optional_relation="support",
            )
        )
    ]
    assert found == [shown]
    assert await acme.can(bob, "refunds_create", at=changed.headers["Zed-Token"])


@pytest.mark.parametrize(
    "end", ["2020-01-01T00:00:00Z", "1970-01-01T00:00:00+14:00", "0001-01-02T00:00:00Z"]
)
async def test_a_role_cannot_expire_in_the_past(acme: Organization, end: str) -> None:
    bob = await acme.member("bob", roles=["support"])
    wanted = {"roles": [{"role": "support", "expires_at": end}]}

    answer = await acme.administrator.ask("PUT", f"{acme.path}/members/{bob.id}/roles", json=wanted)

    refused(answer, 400, "end_in_the_past")
    assert (await acme.roles_by_member())[bob.id] == ["support"]


async def test_a_role_expires_no_later_than_the_catalog_allows(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    await create_role(acme, "night", "links_edit")
    path = f"{acme.path}/members/{bob.id}/roles"
    furthest = await acme.deployment.service.now() + timedelta(
        days=acme.deployment.service.catalog.longest_days
    )
    for role in ("product", "night"):
        near, far = [
            await acme.administrator.ask(
                "PUT", path, json={"roles": [{"role": role, "expires_at": until(end)}]}
            )
            for end in (furthest - timedelta(hours=1), furthest + timedelta(hours=1))
        ]
        assert near.status_code == 200
        assert refused(far, 400, "end_too_far")["days"] == 1826
    assert (await acme.roles_by_member())[bob.id] == ["night"]


async def test_an_expiry_may_be_moved_earlier_moved_later_and_removed(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    path = f"{acme.path}/members/{bob.id}/roles"
    for end in (LATER, SOON, LATER, None):
        wanted = {"roles": [{"role": "support", "expires_at": until(end)}]}
        changed = await acme.administrator.ask("PUT", path, json=wanted)
        assert changed.status_code == 200
        shown = changed.json()["roles"][0]["expires_at"]
        assert (datetime.fromisoformat(shown) if shown else None) == end
    held = f"organization:{acme.id}#support@user:{bob.id}"
    stamp = LATER.isoformat().replace("+00:00", "Z")
    assert (await acme.ledger())[-1] == [f"TOUCH {held} WAS {held}[expiration:{stamp}]"]


async def test_the_reason_is_stored_beside_the_chain_which_contains_only_its_hash(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["support"])
    wanted = {"roles": [{"role": "product"}], "reason": "new job"}

    await acme.administrator.ask("PUT", f"{acme.path}/members/{bob.id}/roles", json=wanted)

    reported = (await acme.events())[-1]
    assert reported.details["before"] == ["support"]
    assert reported.details["after"] == ["product"]
    assert reported.reason_hash is not None
    assert len(reported.reason_hash) == 32


async def test_suspending_and_reactivating_twice_is_refused(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    refused(await acme.reactivate(bob), 409, "not_suspended")
    assert (await acme.suspend(bob)).status_code == 204
    refused(await acme.suspend(bob), 409, "already_suspended")
    assert (await acme.reactivate(bob)).status_code == 204


async def test_roles_of_a_suspended_member_may_be_changed_and_apply_on_reactivation(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}, suspended=["bob"]))["bob"]

    await acme.change_roles(bob, "developer")

    assert not await acme.can(bob, "webhooks_create")
    back = await acme.reactivate(bob)
    token = back.headers["Zed-Token"]
    assert await acme.can(bob, "webhooks_create", at=token)
    assert not await acme.can(bob, "refunds_create", at=token)


async def test_unknown_and_repeated_roles_are_refused(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    problem = refused(await acme.change_roles(bob, "wizard"), 400, "unknown_role")
    assert "developer" in problem["roles"]
    refused(await acme.change_roles(bob, "support", "support"), 400, "role_twice")
    refused(await acme.invite("eve", ["support", "support"]), 400, "role_twice")
    refused(await acme.invite("eve", ["Support"]), 400, "unknown_role")
    assert (await acme.roles_by_member())[bob.id] == ["support"]
