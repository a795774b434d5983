"""ETag and If-Match: roles that have changed since they were read are not overwritten."""

import pytest

from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


@pytest.fixture
async def bob(acme: Organization) -> Person:
    return (await acme.add_members({"bob": ["support"]}))["bob"]


async def tag(organization: Organization, target: Person) -> str:
    """The ETag of a member's roles."""
    shown = await organization.administrator.ask("GET", f"{organization.path}/members/{target.id}")
    return str(shown.headers["ETag"])


async def test_roles_are_replaced_if_they_are_unchanged(acme: Organization, bob: Person) -> None:
    known = {"If-Match": await tag(acme, bob)}
    assert (await acme.change_roles(bob, "product", headers=known)).status_code == 200


async def test_roles_that_changed_since_they_were_read_are_not_replaced(
    acme: Organization, bob: Person
) -> None:
    known = {"If-Match": await tag(acme, bob)}
    await acme.change_roles(bob, "developer")
    before = await acme.ledger()

    refused(await acme.change_roles(bob, "product", headers=known), 412, "roles_changed_meanwhile")

    assert (await acme.roles_by_member())[bob.id] == ["developer"]
    assert await acme.ledger() == before


async def test_a_star_or_no_condition_matches_any_roles(acme: Organization, bob: Person) -> None:
    assert (await acme.change_roles(bob, "product", headers={"If-Match": "*"})).is_success
    assert (await acme.change_roles(bob, "support")).is_success


async def test_one_matching_tag_of_several_is_enough(acme: Organization, bob: Person) -> None:
    several = {"If-Match": f'"0000000000000000", {await tag(acme, bob)}'}
    assert (await acme.change_roles(bob, "product", headers=several)).is_success


@pytest.mark.parametrize("nonsense", ["", '""', "W/*", '"*"', "x" * 200, "é"])
async def test_other_tags_and_malformed_tags_match_nothing(
    acme: Organization, bob: Person, nonsense: str
) -> None:
    headers = {"If-Match": nonsense.encode()}
    answer = await acme.change_roles(bob, "product", headers=headers)
    refused(answer, 412, "roles_changed_meanwhile")


async def test_equal_roles_have_equal_tags(acme: Organization, bob: Person) -> None:
    first = await tag(acme, bob)
    await acme.change_roles(bob, "product")
    second = await tag(acme, bob)
    await acme.change_roles(bob, "support")
    assert first != second
    assert await tag(acme, bob) == first


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        (
            [{"change": "set_roles", "user": "usr_x", "roles": ["support", "support"]}],
            400,
            "role_twice",
        ),
        ([{"change": "set_role", "role": "mine", "actions": ["no_such"]}], 400, "unknown_action"),
        (
            [{"change": "set_role", "role": "mine", "actions": [], "name": "\u0007"}],
            400,
            "invalid_text",
        ),
    ],
)
async def test_a_member_without_rights_learns_no_state_from_a_mistake(
    acme: Organization, changes: list[dict[str, object]], status: int, code: str
) -> None:
    """These mistakes are refused before rights are checked. Before the fix, the answer was 412."""
    bob = (await acme.add_members({"bob": []}))["bob"]
    tag = {"If-Match": '"another"'}
    path, body = f"{acme.path}/changes", {"changes": changes}
    problem = refused(await bob.ask("POST", path, json=body, headers=tag), status, code)
    assert "state" not in problem
    refused(await acme.administrator.ask("POST", path, json=body, headers=tag), 412, "state_moved")
