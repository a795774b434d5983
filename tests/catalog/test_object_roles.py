"""Roles on one object: bundles of the actions of its type."""

import pytest

from teamaccess.catalog import Catalog, read_catalog
from teamaccess.relationships import Relationship
from teamaccess.storage import Grant
from tests.catalog.small import SMALL, mistakes

ROLE = ["editor:", "  name: Editor", "  description: Sees and approves."]


def with_editor(actions: str = "actions: [view, approve]") -> str:
    """Return the small catalog with a role on payments."""
    lines = SMALL.splitlines()
    lines[45:45] = ["    roles:", *(f"      {line}" for line in [*ROLE, f"  {actions}"])]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(with_editor(), "small")


def test_a_grant_of_the_role_gives_each_of_its_actions(catalog: Catalog) -> None:
    schema = catalog.schema()
    assert (
        "  relation granted_editor: user | user with expiration | team#member"
        " | team#member with expiration\n"
    ) in schema
    assert (
        "permission view = organization->payments_view"
        " + ((granted_view + granted_editor) & organization->membership)\n"
    ) in schema
    assert (
        "permission approve = (organization->payments_approve_unrestricted"
        " + ((granted_approve + granted_editor) & organization->membership)) - creator\n"
    ) in schema


def test_a_grant_of_a_role_is_a_relationship_of_its_own(catalog: Catalog) -> None:
    relationship = Relationship.parse("payment:acme/p1#granted_editor@user:ana")
    assert catalog.schema_allows(relationship)
    assert Grant.can_represent(relationship, catalog)
    assert not Grant.can_represent(relationship, read_catalog(SMALL, "small"))


def test_a_catalog_with_such_roles_is_restored_from_its_canonical_form(catalog: Catalog) -> None:
    again = Catalog.from_meaning(catalog.meaning())
    assert again.version == catalog.version != read_catalog(SMALL, "small").version
    assert again.schema() == catalog.schema()
    assert again.types["payment"].roles["editor"].actions == ("view", "approve")


@pytest.mark.parametrize(
    ("actions", "mistake"),
    [
        ("actions: [viev]", "names 'viev', which the type does not have; known are view, approve"),
        ("actions: []", "is a role without actions"),
        ("actions: view", "`actions` must be a list"),
    ],
)
def test_a_role_has_actions_of_its_type(actions: str, mistake: str) -> None:
    assert mistakes(with_editor(actions)) == [f"50: types.payment.roles.editor: {mistake}"]


def test_no_role_has_the_name_of_an_action_of_the_type() -> None:
    [mistake] = mistakes(with_editor().replace("      editor:", "      approve:"))
    assert mistake == (
        "47: types.payment.roles.approve: approve makes the name 'approve',"
        " which line 45 already uses in this type"
    )
