"""Teams: members hold the team's roles as long as they are in it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from teamaccess.storage import Membership, TeamMembership, User, new_service_account_id
from tests.support.agreement import assert_agreement, spicedb_relationships
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.teams import Team

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
LATER = SOON + timedelta(days=30)


@pytest.fixture
async def pay(acme: Organization) -> Team:
    """A team of acme's that holds Support."""
    return await Team.create(acme, "pay", "support")


@pytest.fixture
async def bob(acme: Organization) -> Person:
    return (await acme.add_members({"bob": ["developer"]}))["bob"]


async def held(organization: Organization, target: Person) -> dict[str, Any]:
    """A member's roles as the API shows them, by role."""
    answer = await organization.administrator.ask("GET", f"{organization.path}/members/{target.id}")
    listed = await organization.administrator.ask("GET", f"{organization.path}/members?limit=1000")
    assert answer.json() in listed.json()["items"], "a member is shown alike in both places"
    return {each["role"]: each for each in answer.json()["roles"]}


async def test_members_of_a_team_have_its_roles(acme: Organization, pay: Team, bob: Person) -> None:
    assert not await acme.can(bob, "refunds_create")

    added = await pay.add_member(bob)

    assert added.status_code == 200
    assert added.json()["user"] == bob.id
    assert added.json()["expires_at"] is None
    assert await acme.can(bob, "refunds_create", at=added.headers["Zed-Token"])
    assert await acme.can(bob, "webhooks_create")
    assert (await acme.ledger())[-1] == [f"TOUCH team:{acme.id}/pay#member@user:{bob.id}"]
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("team_member_added", f"user:{bob.id}")
    assert reported.details == {"team": "pay", "expires_at": None}
    await assert_agreement(acme)


async def test_a_role_of_a_team_reaches_all_its_members_in_one_update(
    acme: Organization, pay: Team, bob: Person
) -> None:
    await pay.add_member(bob)

    changed = await pay.set_roles("support", "product")

    assert [each["role"] for each in changed.json()["roles"]] == ["product", "support"]
    assert (await acme.ledger())[-1] == [
        f"TOUCH organization:{acme.id}#product@team:{acme.id}/pay#member"
    ]
    assert await acme.can(bob, "webhooks_access", at=changed.headers["Zed-Token"])
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("team_roles_changed", "team:pay")
    assert reported.details["before"] == ["support"]
    assert reported.details["after"] == ["product", "support"]


async def test_the_roles_of_a_member_are_shown_with_their_sources(
    acme: Organization, pay: Team, bob: Person
) -> None:
    await pay.add_member(bob, SOON)
    shown = await held(acme, bob)
    assert shown["developer"]["sources"] == [
        {
            "kind": "direct",
            "granted_at": shown["developer"]["granted_at"],
            "expires_at": None,
        }
    ]
    [support] = shown["support"]["sources"]
    assert (support["kind"], support["team"]) == ("team", "pay")
    assert datetime.fromisoformat(support["expires_at"]) == SOON
    assert shown["support"]["expires_at"] == support["expires_at"]
    assert shown["support"]["granted_at"] == support["granted_at"]


async def test_a_role_from_a_team_lasts_until_the_earlier_of_the_two_expiries(
    acme: Organization, pay: Team, bob: Person
) -> None:
    for place, role, end in (
        (None, None, None),
        (SOON, LATER, SOON),
        (LATER, SOON, SOON),
        (None, SOON, SOON),
        (SOON, None, SOON),
    ):
        await pay.add_member(bob, place)
        await pay.set_roles(support=role)
        [support] = (await held(acme, bob))["support"]["sources"]
        shown = support["expires_at"]
        assert (datetime.fromisoformat(shown) if shown else None) == end


async def test_a_role_from_several_sources_shows_the_times_of_the_direct_assignment(
    acme: Organization, pay: Team, bob: Person
) -> None:
    ops = await Team.create(acme, "ops", "support")
    await pay.add_member(bob, SOON)
    await ops.add_member(bob, LATER)
    shown = (await held(acme, bob))["support"]
    assert [each["team"] for each in shown["sources"]] == ["ops", "pay"]
    assert datetime.fromisoformat(shown["expires_at"]) == LATER

    await acme.change_roles(bob, "support")

    shown = (await held(acme, bob))["support"]
    assert [each["kind"] for each in shown["sources"]] == ["direct", "team", "team"]
    assert shown["expires_at"] is None
    assert shown["granted_at"] == shown["sources"][0]["granted_at"]


async def test_the_answer_to_a_role_change_includes_roles_from_teams(
    acme: Organization, pay: Team, bob: Person
) -> None:
    await pay.add_member(bob)

    changed = await acme.change_roles(bob, "product")

    kinds = {each["role"]: each["sources"][0]["kind"] for each in changed.json()["roles"]}
    assert kinds == {"product": "direct", "support": "team"}
    assert (await acme.roles_by_member())[bob.id] == ["product"]


async def test_members_are_filtered_by_team_and_by_roles_from_teams(
    acme: Organization, pay: Team, bob: Person
) -> None:
    people = await acme.add_members({"eve": ["support"], "max": []})
    await pay.add_member(bob)
    await pay.add_member(people["max"])
    ended = datetime.now(UTC) - timedelta(seconds=1)

    async def found(**wanted: str) -> set[str]:
        answer = await acme.administrator.ask("GET", f"{acme.path}/members", params=wanted)
        return {each["user"] for each in answer.json()["items"]}

    assert await found(team="pay") == {bob.id, people["max"].id}
    assert await found(role="support") == {bob.id, people["max"].id, people["eve"].id}
    assert await found(team="pay", role="developer") == {bob.id}
    await pay.set_membership_expiry(people["max"], ended)
    assert await found(team="pay") == {bob.id}
    assert await found(role="support") == {bob.id, people["eve"].id}
    await pay.set_role_expiry("support", ended)
    assert await found(role="support") == {people["eve"].id}
    assert "support" not in await held(acme, bob)
    unknown = await acme.administrator.ask("GET", f"{acme.path}/members?team=ops")
    refused(unknown, 404, "unknown_team")


async def test_adding_a_member_twice_counts_once(
    acme: Organization, pay: Team, bob: Person
) -> None:
    first = await pay.add_member(bob, SOON)
    before, reported = await acme.ledger(), await acme.events()

    assert (await pay.add_member(bob, SOON)).json() == first.json()

    assert await acme.ledger() == before
    assert len(await acme.events()) == len(reported)


async def test_the_expiry_of_a_team_membership_may_be_moved_and_removed(
    acme: Organization, pay: Team, bob: Person
) -> None:
    for end in (SOON, LATER, SOON, None):
        answer = await pay.add_member(bob, end)
        shown = answer.json()["expires_at"]
        assert (datetime.fromisoformat(shown) if shown else None) == end
    place = f"team:{acme.id}/pay#member@user:{bob.id}"
    stamp = SOON.isoformat().replace("+00:00", "Z")
    assert (await acme.ledger())[-1] == [f"TOUCH {place} WAS {place}[expiration:{stamp}]"]
    assert (await acme.events())[-1].kind == "team_member_changed"
    for days, code in ((-1, "end_in_the_past"), (2000, "end_too_far")):
        end = datetime.now(UTC) + timedelta(days=days)
        refused(await pay.add_member(bob, end), 400, code)
        refused(await pay.set_roles(support=end), 400, code)


async def out_of_the_team(pay: Team, bob: Person) -> httpx.Response:
    return await pay.remove_member(bob)


async def leaving_the_team(pay: Team, bob: Person) -> httpx.Response:
    return await pay.remove_member(bob, by=bob)


async def the_team_deleted(pay: Team, bob: Person) -> httpx.Response:
    return await pay.delete()


async def the_role_taken_from_it(pay: Team, bob: Person) -> httpx.Response:
    return await pay.set_roles()


async def out_of_the_organization(pay: Team, bob: Person) -> httpx.Response:
    return await pay.organization.remove(bob)


async def leaving_the_organization(pay: Team, bob: Person) -> httpx.Response:
    return await bob.ask("POST", f"{pay.organization.path}/leave")


async def suspended(pay: Team, bob: Person) -> httpx.Response:
    return await pay.organization.suspend(bob)


ENDS = [
    out_of_the_team,
    leaving_the_team,
    the_team_deleted,
    the_role_taken_from_it,
    out_of_the_organization,
    leaving_the_organization,
    suspended,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_access_from_a_team_ends_at_once(
    acme: Organization, pay: Team, bob: Person, end: Any
) -> None:
    await pay.add_member(bob)
    assert await acme.can(bob, "refunds_create")

    answer = await end(pay, bob)

    assert answer.is_success, answer.text
    assert not await acme.can(bob, "refunds_create", at=answer.headers["Zed-Token"])
    stays = end not in (out_of_the_organization, leaving_the_organization, suspended)
    assert await acme.can(bob, "webhooks_create") is stays
    await assert_agreement(acme)
    if end not in (suspended, the_role_taken_from_it):
        assert not [
            each
            for each in await spicedb_relationships(acme)
            if f"user:{bob.id}" in str(each.subject) and each.resource.type == "team"
        ]


async def test_a_member_who_returns_to_the_organization_is_in_no_team(
    acme: Organization, pay: Team
) -> None:
    eve = await acme.member("eve", ["developer"])
    await pay.add_member(eve)
    await acme.remove(eve)
    eve.token = await acme.deployment.token(eve.id)
    await acme.invite("eve", ["developer"])
    signed_in = {"Authorization": f"Bearer {eve.token}"}
    assert (await acme.accept("eve", headers=signed_in)).status_code == 200
    assert not await acme.can(eve, "refunds_create")
    assert await pay.member_ids() == []


async def test_a_suspended_member_may_be_added_to_a_team(acme: Organization, pay: Team) -> None:
    sue = (await acme.add_members({"sue": []}, suspended=["sue"]))["sue"]

    added = await pay.add_member(sue)

    assert added.json()["status"] == "suspended"
    assert not await acme.can(sue, "refunds_create")
    back = await acme.reactivate(sue)
    assert await acme.can(sue, "refunds_create", at=back.headers["Zed-Token"])


async def test_only_members_of_the_organization_can_be_in_its_teams(
    acme: Organization, globex: Organization, pay: Team
) -> None:
    refused(await pay.add_member(globex.administrator), 404, "unknown_member")
    stranger = await globex.administrator.ask("GET", pay.path)
    refused(stranger, 404, "unknown_organization")
    others = await Team.create(globex, "pay")
    refused(await others.add_member(acme.administrator), 404, "unknown_member")
    assert await pay.member_ids() == []


async def test_a_deleted_team_is_removed_completely_and_its_id_is_free(
    acme: Organization, pay: Team, bob: Person
) -> None:
    await pay.add_member(bob)

    assert (await pay.delete()).status_code == 204

    assert not any("pay" in str(each) for each in await spicedb_relationships(acme))
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("team_deleted", "team:pay")
    assert reported.details == {"name": "Pay", "roles": ["support"]}
    for answer in (await pay.delete(), await pay.add_member(bob), await pay.set_roles("support")):
        refused(answer, 404, "unknown_team")
    refused(await acme.administrator.ask("GET", pay.path), 404, "unknown_team")
    again = await Team.create(acme, "pay", "product")
    assert await again.member_ids() == []
    assert "product" not in await held(acme, bob)


async def test_teams_and_their_members_come_in_pages(acme: Organization, pay: Team) -> None:
    people = await acme.add_members({f"member{number}": [] for number in range(5)})
    for person in people.values():
        await pay.add_member(person)
    await Team.create(acme, "ops")
    for path, key, expected in (
        (f"{acme.path}/teams", "id", ["pay", "ops"]),
        (f"{pay.path}/members", "user", [each.id for each in people.values()]),
    ):
        seen: list[str] = []
        asked: dict[str, Any] = {"limit": 1}
        while asked.get("cursor", "first") is not None:
            shown = (await acme.administrator.ask("GET", path, params=asked)).json()
            seen += [each[key] for each in shown["items"]]
            asked["cursor"] = shown["next_cursor"]
        assert seen == expected


async def test_a_team_is_renamed(acme: Organization, pay: Team) -> None:
    answer = await acme.administrator.ask("PATCH", pay.path, json={"name": "  Payments "})
    assert answer.json()["name"] == "Payments"
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.details) == ("team_renamed", {"name": "Payments"})


async def test_team_ids_are_validated_and_unique(
    acme: Organization, globex: Organization, pay: Team
) -> None:
    path = f"{acme.path}/teams"
    for id, status, code in (("pay", 409, "team_exists"), ("no space", 400, "invalid_team_id")):
        answer = await acme.administrator.ask("POST", path, json={"id": id, "name": "X"})
        refused(answer, status, code)
    await Team.create(globex, "pay")


async def test_roles_of_a_team_that_changed_since_they_were_read_are_not_replaced(
    acme: Organization, pay: Team
) -> None:
    shown = await acme.administrator.ask("GET", pay.path)
    known = {"If-Match": shown.headers["ETag"]}
    assert (await pay.set_roles("product", headers=known)).status_code == 200
    refused(await pay.set_roles("developer", headers=known), 412, "team_roles_changed_meanwhile")
    assert (await pay.set_roles("developer", headers={"If-Match": "*"})).status_code == 200


async def test_a_team_cannot_hold_the_administrators_role_an_unknown_role_or_a_repeated_role(
    acme: Organization, initech: Organization, pay: Team
) -> None:
    refused(await pay.set_roles("administrator"), 409, "role_not_for_teams")
    refused(await (await Team.create(initech, "ops")).set_roles("admin"), 409, "role_not_for_teams")
    refused(await pay.set_roles("wizard"), 400, "unknown_role")
    twice = {"roles": [{"role": "support"}, {"role": "support"}]}
    refused(await acme.administrator.ask("PUT", f"{pay.path}/roles", json=twice), 400, "role_twice")


async def test_a_service_account_can_be_in_a_team(acme: Organization, pay: Team) -> None:
    async with acme.deployment.operator(acme.id) as change:
        robot = User(id=new_service_account_id(), name="Robot", service_account_of=acme.id)
        change.session.add(Membership(organization_id=acme.id, user=robot, assignments=[]))
    added = await pay.add_member(Person(acme.deployment, robot.id, "", ""))
    assert added.json()["email"] is None
    assert await acme.deployment.check(
        acme.id, robot.id, "refunds_create", added.headers["Zed-Token"]
    )


async def test_deleting_a_team_of_a_thousand_ends_access_with_the_first_position(
    acme: Organization, pay: Team
) -> None:
    people = await acme.add_members({f"member{number}": [] for number in range(1000)})
    async with acme.deployment.operator(acme.id) as change:
        change.session.add_all(
            TeamMembership(organization_id=acme.id, team_id=pay.id, user_id=each.id)
            for each in people.values()
        )
    before = len(await acme.ledger())

    assert (await pay.delete()).is_success

    await acme.deployment.service.applier.catch_up(acme.id)
    first, second = (await acme.ledger())[before:]
    assert (len(first), len(second)) == (900, 101)
    assert first[0] == f"DELETE organization:{acme.id}#support@team:{acme.id}/pay#member"
    await assert_agreement(acme)


async def test_a_team_is_not_named_like_another_one(acme: Organization) -> None:
    await Team.create(acme, "pay")
    other = await Team.create(acme, "other")
    path = f"{acme.path}/teams"
    for name in ("Pay", "PAY", "P ay", "P\u0430y"):  # the last one has a Cyrillic a
        created = await acme.administrator.ask("POST", path, json={"id": "new", "name": name})
        renamed = await acme.administrator.ask("PATCH", other.path, json={"name": name})
        for answer in (created, renamed):
            assert refused(answer, 409, "team_name_taken")["taken"] == "Pay"
    again = await acme.administrator.ask("PATCH", f"{path}/pay", json={"name": "PAY"})
    assert again.status_code == 200
