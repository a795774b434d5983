"""The fintoc catalog against Fintoc's own table, in both directions."""

from collections import Counter

import pytest

from teamaccess.catalog import Catalog, load_catalog
from tests.catalog.seed_tables import Row, fintoc_table

TABLE = fintoc_table()


@pytest.fixture(scope="module")
def fintoc() -> Catalog:
    return load_catalog("fintoc")


def in_the_catalog(fintoc: Catalog) -> list[Row]:
    """Return the catalog's own version of the table."""
    return [
        Row(
            sentence=action.description,
            resource=fintoc.resources[action.resource].label,
            level=action.level.capitalize(),
            roles=frozenset(fintoc.roles[role].name for role in action.roles),
        )
        for action in fintoc.actions.values()
        if action.source == "table"
    ]


def test_the_table_has_12_resources_32_actions_and_6_roles() -> None:
    assert len(TABLE) == len({row.sentence for row in TABLE}) == 32
    assert len({row.resource for row in TABLE}) == 12
    assert len(frozenset().union(*(row.roles for row in TABLE))) == 6


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.sentence)
def test_every_row_of_the_table_is_one_action_of_the_catalog(fintoc: Catalog, row: Row) -> None:
    assert in_the_catalog(fintoc).count(row) == 1


def test_every_action_with_the_source_table_is_one_row_of_it(fintoc: Catalog) -> None:
    assert Counter(in_the_catalog(fintoc)) == Counter(TABLE)


def test_only_the_administrator_has_eleven_of_the_actions(fintoc: Catalog) -> None:
    alone = [row for row in in_the_catalog(fintoc) if row.roles == {"Administrator"}]
    assert len(alone) == 11


def test_the_roles_are_the_six_of_the_table(fintoc: Catalog) -> None:
    assert list(fintoc.roles) == [
        "administrator",
        "operations",
        "finance_and_accounting",
        "support",
        "product",
        "developer",
    ]


def test_the_administrator_can_do_every_action(fintoc: Catalog) -> None:
    assert fintoc.actions_of(["administrator"]) == fintoc.actions.keys()


def test_only_the_operator_grants_the_administrator(fintoc: Catalog) -> None:
    granted_by = {role.id: role.granted_by for role in fintoc.roles.values()}
    assert granted_by.pop("administrator") == "operator"
    assert set(granted_by.values()) == {"dashboard"}
    assert not fintoc.roles["administrator"].teams
    assert fintoc.founder_role is None


def test_nothing_in_the_table_is_at_the_authorize_level_but_transfers_are(fintoc: Catalog) -> None:
    assert {row.level for row in TABLE} == {"View", "Manage"}
    authorize = [action for action in fintoc.actions.values() if action.level == "authorize"]
    assert [action.id for action in authorize] == ["transfers_authorize"]


def test_transfers_come_from_the_prose_and_are_authorized_with_four_eyes(fintoc: Catalog) -> None:
    prose = {action.id: action for action in fintoc.actions.values() if action.source == "prose"}
    assert list(prose) == ["transfers_view", "transfers_create", "transfers_authorize"]
    assert all(action.roles == ("administrator",) for action in prose.values())
    assert [action.id for action in prose.values() if action.four_eyes] == ["transfers_authorize"]
    assert fintoc.types["transfer"].demands_creator
    assert prose["transfers_authorize"].permission == "transfers_authorize_unrestricted"


def test_only_the_administrator_has_actions_that_the_product_adds(fintoc: Catalog) -> None:
    product = {
        action.id: action for action in fintoc.actions.values() if action.source == "product"
    }
    assert list(product) == [
        "organization_delete",
        "roles_manage",
        "teams_manage",
        "resources_register",
        "service_accounts_manage",
        "service_accounts_act_on_behalf",
        "reviews_manage",
        "audit_view",
    ]
    assert all(action.roles == ("administrator",) for action in product.values())


def test_no_custom_role_contains_what_makes_an_administrator(fintoc: Catalog) -> None:
    reserved = [action.id for action in fintoc.actions.values() if action.reserved]
    assert reserved == [
        "organization_delete",
        "users_invite",
        "users_change_roles",
        "users_remove",
        "roles_manage",
        "service_accounts_manage",
    ]


def test_managing_does_not_imply_viewing(fintoc: Catalog) -> None:
    product = fintoc.actions_of(["product"])
    assert {"webhooks_access", "webhooks_send_test"} <= product
    assert product.isdisjoint({"webhooks_create", "webhooks_view_secret"})
    secret = [role.id for role in fintoc.roles.values() if "webhooks_view_secret" in role.actions]
    assert secret == ["administrator", "developer"]


def test_the_guards_of_member_management_are_actions_of_the_table(fintoc: Catalog) -> None:
    guards = fintoc.guards
    assert guards["view_members"] == "users_access"
    assert guards["invite"] == "users_invite"
    assert guards["change_roles"] == guards["reactivate"] == "users_change_roles"
    assert guards["remove"] == guards["suspend"] == "users_remove"
