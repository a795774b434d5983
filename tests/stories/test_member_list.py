"""The Members section: people, their roles, their status and their last activity."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused

SOON = datetime.now(UTC) + timedelta(days=30)


async def listed(
    organization: Organization, by: Person | None = None, **filters: Any
) -> list[dict[str, Any]]:
    """The first page of the list."""
    answer = await (by or organization.administrator).ask(
        "GET", f"{organization.path}/members", params=filters
    )
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def users(organization: Organization, **filters: Any) -> list[str]:
    """The members on the first page of the list."""
    return [str(member["user"]) for member in await listed(organization, **filters)]


async def test_a_member_is_shown_with_roles_status_and_last_activity(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support", "developer"])
    before = datetime.now(UTC) - timedelta(seconds=5)
    await bob.ask("GET", f"{acme.path}/members")

    ana, member = await listed(acme)

    assert ana["user"] == acme.administrator.id
    assert member["user"] == bob.id
    assert member["email"] == bob.email
    assert member["name"] == "Bob"
    assert member["status"] == "active"
    assert [each["role"] for each in member["roles"]] == ["developer", "support"]
    assert all(each["expires_at"] is None for each in member["roles"])
    assert member["suspended_at"] is None
    assert datetime.fromisoformat(member["last_active_at"]) > before
    alone = await acme.administrator.ask("GET", f"{acme.path}/members/{bob.id}")
    assert alone.json() == member


READS = ["", "/permissions", "/members", "/members/{user}", "/changes/1"]


@pytest.mark.parametrize("path", READS)
async def test_every_request_of_a_member_counts_as_their_activity_and_not_as_that_of_others(
    acme: Organization, path: str
) -> None:
    bob, eve = (await acme.add_members({"bob": ["support"], "eve": ["support"]})).values()
    before = datetime.now(UTC) - timedelta(seconds=5)

    assert (await bob.ask("GET", acme.path + path.format(user=eve.id))).status_code == 200

    seen = {member["user"]: member["last_active_at"] for member in await listed(acme)}
    assert datetime.fromisoformat(seen[bob.id]) > before
    assert seen[eve.id] is None


async def test_twenty_five_members_come_in_pages_of_seven_without_gaps_or_repeats(
    acme: Organization,
) -> None:
    people = await acme.add_members({f"member{number:02}": ["support"] for number in range(24)})
    seen: list[str] = []
    sizes = []
    asked = {"limit": "7"}
    while True:
        page = (await acme.administrator.ask("GET", f"{acme.path}/members", params=asked)).json()
        seen += [each["user"] for each in page["items"]]
        sizes.append(len(page["items"]))
        if page["next_cursor"] is None:
            break
        asked["cursor"] = page["next_cursor"]

    assert sizes == [7, 7, 7, 4]
    assert len(set(seen)) == 25
    assert set(seen) == {acme.administrator.id, *(each.id for each in people.values())}


async def test_a_page_that_ends_the_list_has_no_next_one(acme: Organization) -> None:
    await acme.add_members({f"member{number}": [] for number in range(6)})
    page = (await acme.administrator.ask("GET", f"{acme.path}/members?limit=7")).json()
    assert len(page["items"]) == 7
    assert page["next_cursor"] is None


async def test_pages_stay_consistent_while_members_join_and_leave(acme: Organization) -> None:
    people = await acme.add_members({f"member{number}": [] for number in range(9)})
    first = (await acme.administrator.ask("GET", f"{acme.path}/members?limit=4")).json()
    shown = [each["user"] for each in first["items"]]
    gone = next(each for each in people.values() if each.id in shown)
    await acme.remove(gone)
    late = (await acme.add_members({"late": []}))["late"]

    rest = await listed(acme, limit=100, cursor=first["next_cursor"])

    assert len(shown) + len(rest) == 11
    assert rest[-1]["user"] == late.id
    assert not set(shown) & {each["user"] for each in rest}


async def test_the_list_is_filtered_by_role_without_expired_roles(
    acme: Organization,
) -> None:
    people = await acme.add_members(
        {"bob": ["support"], "eve": ["support", "product"], "max": ["product"]}
    )
    bob, eve, max = (people[name].id for name in ("bob", "eve", "max"))
    assert sorted(await users(acme, role="support")) == sorted([bob, eve])
    assert sorted(await users(acme, role="product")) == sorted([eve, max])

    await acme.set_role_expiry(people["eve"], "support", datetime.now(UTC) - timedelta(seconds=1))
    await acme.set_role_expiry(people["max"], "product", SOON)

    assert await users(acme, role="support") == [bob]
    assert sorted(await users(acme, role="product")) == sorted([eve, max])
    shown = {member["user"]: member["roles"] for member in await listed(acme)}
    assert [each["role"] for each in shown[eve]] == ["product"]
    assert datetime.fromisoformat(shown[max][0]["expires_at"]) == SOON


async def test_the_list_is_filtered_by_status(acme: Organization) -> None:
    people = await acme.add_members({"bob": [], "eve": []}, suspended=["eve"])
    assert await users(acme, status="suspended") == [people["eve"].id]
    assert set(await users(acme, status="active")) == {acme.administrator.id, people["bob"].id}


async def test_inactive_members_are_found_including_those_never_active(
    acme: Organization,
) -> None:
    people = await acme.add_members({"bob": ["support"], "eve": ["support"], "max": ["support"]})
    bob, eve, max = people.values()
    for person in (acme.administrator, bob, eve):
        await person.ask("GET", f"{acme.path}/members")
    await acme.set_last_activity(eve, datetime.now(UTC) - timedelta(days=40))
    for person in (bob, eve, max):
        await acme.set_joined_at(person, datetime.now(UTC) - timedelta(days=90))

    assert set(await users(acme, inactive_days=30)) == {eve.id, max.id}
    assert await users(acme, inactive_days=60) == [max.id]
    assert set(await users(acme, inactive_days=30, role="support")) == {eve.id, max.id}


async def test_a_member_who_was_never_active_counts_from_joining(acme: Organization) -> None:
    [new, old] = (await acme.add_members({"new": [], "old": []})).values()
    account = await acme.create_service_account()
    assert await users(acme, inactive_days=1) == []
    for member in (old, account):
        await acme.set_joined_at(member, datetime.now(UTC) - timedelta(days=31))
    assert set(await users(acme, inactive_days=30)) == {old.id, account.id}
    assert await users(acme, inactive_days=32) == []
    assert new.id not in await users(acme, inactive_days=30)


async def test_a_member_who_joins_again_counts_from_the_second_time(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await acme.set_joined_at(bob, datetime.now(UTC) - timedelta(days=100))
    assert await users(acme, inactive_days=90) == [bob.id]
    (await acme.remove(bob)).raise_for_status()
    bob.token = await acme.deployment.token(bob.id)
    await acme.invite("bob", ["support"])
    again = await acme.accept("bob", headers={"Authorization": f"Bearer {bob.token}"})
    assert again.json()["user"] == bob.id
    assert await users(acme, inactive_days=1) == []


async def test_a_service_account_that_acts_for_members_is_active(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    site, idle = await acme.add_backend_account("users_access"), await acme.add_service_account()
    for account in (site, idle):
        await acme.set_joined_at(account, datetime.now(UTC) - timedelta(days=100))
    await site.on_behalf_of(bob.id).ask("GET", f"{acme.path}/members")
    assert await users(acme, inactive_days=90) == [idle.id]


async def test_a_member_without_the_permission_cannot_list_members(initech: Organization) -> None:
    bob = await initech.member("bob", roles=["write"])
    for path in ("members", f"members/{bob.id}", "invitations"):
        problem = refused(await bob.ask("GET", f"{initech.path}/{path}"), 403, "missing_permission")
        assert problem["permission"] == "members_view"


async def test_a_user_lists_the_organizations_of_which_they_are_an_active_member(
    acme: Organization, globex: Organization
) -> None:
    bob = await acme.member("bob", roles=["support"])
    mine = [each["id"] for each in (await bob.ask("GET", "/v1/organizations")).json()["items"]]
    assert mine == [acme.id]

    await acme.suspend(bob)

    assert (await bob.ask("GET", "/v1/organizations")).json()["items"] == []
    operator = await acme.deployment.operator_person()
    every = await _every_organization(operator)
    assert {acme.id, globex.id} <= set(every)
    assert len(set(every)) == len(every)


async def _every_organization(operator: Person) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while cursor is not None or not ids:
        query = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
        reported = (await operator.ask("GET", "/v1/organizations", params=query)).json()
        ids += [each["id"] for each in reported["items"]]
        cursor = reported["next_cursor"]
    return ids
