"""Finicom's catalog and guide, compared in both directions."""

import pytest
import yaml

from teamaccess.catalog import Catalog, find_catalog_file, load_catalog
from tests.catalog.seed_tables import RoleStatement, finicom_prose

GUIDE = list(finicom_prose())


@pytest.fixture(scope="module")
def finicom() -> Catalog:
    return load_catalog("finicom")


def from_the_guide(finicom: Catalog) -> set[str]:
    return {action.id for action in finicom.actions.values() if action.source == "prose"}


@pytest.mark.parametrize("says", GUIDE, ids=lambda says: says.role)
def test_a_role_can_do_exactly_what_the_guide_says(finicom: Catalog, says: RoleStatement) -> None:
    assert finicom.actions_of([says.role]) & from_the_guide(finicom) == says.can | below(says.role)


@pytest.mark.parametrize("says", GUIDE, ids=lambda says: says.role)
def test_a_role_cannot_do_what_the_guide_refuses_it(finicom: Catalog, says: RoleStatement) -> None:
    assert finicom.actions_of([says.role]).isdisjoint(says.cannot)


def test_the_guide_allows_or_refuses_every_action_for_each_role(finicom: Catalog) -> None:
    for says in GUIDE:
        assert says.can | below(says.role) | says.cannot == from_the_guide(finicom)


def below(role: str) -> frozenset[str]:
    """The actions that the guide gives to the roles below this one."""
    order = [says.role for says in GUIDE]
    return frozenset().union(*(says.can for says in GUIDE[order.index(role) + 1 :]))


def test_each_role_includes_the_ones_below_it(finicom: Catalog) -> None:
    admin, write, read = (finicom.roles[role].actions for role in ("admin", "write", "read"))
    assert admin > write > read


def test_the_roles_are_written_as_the_guide_says_each_within_the_next() -> None:
    written = yaml.safe_load(find_catalog_file("finicom").read_text(encoding="utf-8"))
    included = {role: about.get("includes") for role, about in written["roles"].items()}
    assert included == {"admin": ["write"], "write": ["read"], "read": None}


def test_no_custom_role_makes_service_accounts(finicom: Catalog) -> None:
    reserved = [action.id for action in finicom.actions.values() if action.reserved]
    assert reserved == ["service_accounts_manage"]


def test_the_admin_can_do_everything_and_admins_make_admins(finicom: Catalog) -> None:
    assert finicom.administrator == "admin"
    assert finicom.actions_of(["admin"]) == finicom.actions.keys()
    assert {role.granted_by for role in finicom.roles.values()} == {"dashboard"}


def test_the_creator_of_an_organization_becomes_its_admin(finicom: Catalog) -> None:
    assert finicom.founder_role == "admin"


def test_only_admins_see_the_pages_of_members_and_settings(finicom: Catalog) -> None:
    for operation in ("view_members", "view_invitations", "invite", "change_roles", "remove"):
        assert finicom.actions[finicom.guards[operation]].roles == ("admin",)
    assert finicom.actions["settings_view"].roles == ("admin",)


def test_every_member_sees_the_organization(finicom: Catalog) -> None:
    guard = finicom.actions[finicom.guards["view_organization"]]
    assert guard.roles == ("admin", "write", "read")
