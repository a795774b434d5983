"""A valid catalog: its answers, and its compiled schema."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.catalog import (
    OPERATIONS,
    Catalog,
    InvalidCatalog,
    RoleNotInCatalog,
    bundled_catalogs,
    find_catalog_file,
    load_catalog,
    read_catalog,
)
from teamaccess.catalog.compiler import (
    BUILT_IN_OBJECT_RELATIONS,
    BUILT_IN_RELATIONS,
    BUILT_IN_TYPES,
    definitions,
)
from teamaccess.relationships import Relationship
from tests.catalog.small import HERE, SMALL

SMALL_FILE = HERE / "small.yaml"


@pytest.fixture(scope="module")
def small() -> Catalog:
    return read_catalog(SMALL, "small")


def test_two_catalogs_are_delivered() -> None:
    assert sorted(bundled_catalogs()) == ["finicom", "fintoc"]
    assert [load_catalog(name).name for name in sorted(bundled_catalogs())] == ["finicom", "fintoc"]


def test_a_catalog_is_found_by_its_name_or_its_path() -> None:
    assert load_catalog("fintoc").version == load_catalog(bundled_catalogs()["fintoc"]).version
    assert load_catalog(SMALL_FILE).version == load_catalog(str(SMALL_FILE)).version


def test_every_operation_is_guarded_by_an_action() -> None:
    for catalog in map(load_catalog, bundled_catalogs()):
        assert set(catalog.guards) == set(OPERATIONS)
        assert set(catalog.guards.values()) <= catalog.actions.keys()


def test_several_roles_together_hold_the_union_of_their_actions(small: Catalog) -> None:
    assert small.actions_of([]) == set()
    assert small.actions_of(["clerk"]) == {"payments_view"}
    assert small.actions_of(["clerk", "owner"]) == small.actions.keys()


def test_an_unknown_role_is_an_error_and_not_an_empty_set(small: Catalog) -> None:
    with pytest.raises(RoleNotInCatalog, match="the catalog small has no role 'clark'"):
        small.actions_of(["clerk", "clark"])


def test_an_action_need_not_list_the_administrator_among_its_roles(small: Catalog) -> None:
    assert small.actions["payments_view"].roles == ("owner", "clerk")


def test_the_version_names_the_catalog_and_its_meaning(small: Catalog) -> None:
    name, _, meaning = small.version.rpartition("-")
    assert name == "small"
    assert len(meaning) == 12
    assert int(meaning, 16)


def test_comments_and_layout_do_not_change_the_version(small: Catalog) -> None:
    plain = yaml.safe_dump(yaml.safe_load(SMALL), default_flow_style=True, sort_keys=False)
    assert read_catalog(plain, "small").version == small.version
    assert read_catalog(f"# Reviewed.\n{SMALL}", "small").version == small.version


@pytest.mark.parametrize("name", ["fintoc", "finicom", SMALL_FILE])
def test_a_catalog_is_restored_from_its_canonical_form(name: str | Path) -> None:
    catalog = load_catalog(name)
    again = Catalog.from_meaning(json.loads(json.dumps(catalog.meaning())))
    assert again.version == catalog.version
    assert again.schema() == catalog.schema()
    assert asdict(again) == asdict(catalog)


@given(st.data())
def test_every_other_change_changes_the_version(data: st.DataObject) -> None:
    tree = yaml.safe_load(SMALL)
    parent, key = data.draw(st.sampled_from(list(leaves(tree))), label="place")
    before = parent[key]
    parent[key] = data.draw(
        st.sampled_from([True, "view", "manage", "operator", "team_manage", "Other", ["clerk"]])
    )
    try:
        changed = read_catalog(yaml.safe_dump(tree, sort_keys=False), "small")
    except InvalidCatalog:
        return
    assert (changed.version == read_catalog(SMALL, "small").version) == (parent[key] == before)


def leaves(tree: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Return where in a tree the values are, as the mapping and its key."""
    return [
        leaf
        for key, value in tree.items()
        for leaf in (leaves(value) if isinstance(value, dict) else [(tree, key)])
    ]


def test_a_catalog_cannot_use_names_that_every_schema_has(small: Catalog) -> None:
    compiled = {definition.name: definition for definition in definitions(small)}
    assert compiled.keys() - small.types.keys() == set(BUILT_IN_TYPES)

    def names(definition: str) -> set[str]:
        return {member.name for group in compiled[definition].groups for member in group}

    ours = {
        *small.roles,
        *(action.permission for action in small.actions.values()),
        *(action.grant_relation for action in small.actions.values()),
    }
    assert names("organization") - ours == {*BUILT_IN_RELATIONS, small.schema_proof}
    verbs = small.types["payment"].actions
    assert names("payment") - verbs.keys() - {f"granted_{verb}" for verb in verbs} == set(
        BUILT_IN_OBJECT_RELATIONS
    )


def test_a_permission_is_for_members_with_a_role_or_a_custom_role(small: Catalog) -> None:
    assert "permission payments_view = (owner + clerk + granted_payments_view) & member" in (
        small.schema()
    )
    assert "permission team_manage = (owner + granted_team_manage) & member" in small.schema()


def test_a_four_eyes_action_is_a_permission_of_the_resource_only(small: Catalog) -> None:
    schema = small.schema()
    assert "permission payments_approve =" not in schema
    assert "permission payments_approve_unrestricted = (owner + granted_payments_approve)" in schema
    assert (
        "permission approve = (organization->payments_approve_unrestricted"
        " + (granted_approve & organization->membership)) - creator"
    ) in schema


def test_a_team_holds_only_roles_that_teams_may_hold(small: Catalog) -> None:
    assert "relation owner: user | user with expiration\n" in small.schema()
    assert (
        "relation clerk: user | user with expiration | team#member | team#member with expiration"
    ) in small.schema()


PERMITTED = [
    "organization:acme#member@user:ana",
    "organization:acme#member@user:ana[expiration:2027-01-01T00:00:00Z]",
    "organization:acme#owner@user:ana",
    "organization:acme#clerk@team:acme/pay#member[expiration:2027-01-01T00:00:00Z]",
    "organization:acme#granted_payments_approve@role:acme/approver#member",
    "organization:acme#applied@ledger_position:1-0123456789ab[expiration:2027-01-01T00:00:00Z]",
    "team:acme/pay#member@user:ana",
    "role:acme/approver#member@team:acme/pay#member",
    "payment:acme/p1#organization@organization:acme",
    "payment:acme/p1#creator@user:ana",
    "payment:acme/p1#granted_approve@team:acme/pay#member",
    "invitation:acme/inv7#invitee@email:5f2b[expiration:2027-01-01T00:00:00Z]",
]
FOREIGN = [
    "organization:acme#owner@team:acme/pay#member",
    "organization:acme#member@team:acme/pay#member",
    "organization:acme#payments_view@user:ana",
    "organization:acme#clerk@user:ana#member",
    "organization:acme#clerk@team:acme/pay",
    "organization:acme#granted_payments_view@user:ana",
    "organization:acme#applied@ledger_position:1-0123456789ab",
    "organization:acme#unknown@user:ana",
    "planet:acme/earth#member@user:ana",
    "payment:acme/p1#creator@user:ana[expiration:2027-01-01T00:00:00Z]",
    "invitation:acme/inv7#invitee@email:5f2b",
]


@pytest.mark.parametrize("text", PERMITTED)
def test_the_schema_has_a_relation_for(small: Catalog, text: str) -> None:
    assert small.schema_allows(Relationship.parse(text))


@pytest.mark.parametrize("text", FOREIGN)
def test_the_schema_has_no_relation_for(small: Catalog, text: str) -> None:
    assert not small.schema_allows(Relationship.parse(text))


@pytest.mark.parametrize("name", ["fintoc", "finicom"])
def test_a_user_with_administration_has_every_permission(name: str) -> None:
    catalog = load_catalog(name)
    schema = catalog.schema()
    assert f"permission administration = {catalog.administrator} & member\n" in schema
    for action in catalog.actions.values():
        first = f"permission {action.permission} = ({catalog.administrator}"
        assert f"{first} + " in schema or f"{first}) & member" in schema


def test_the_proof_of_a_schema_changes_only_with_what_it_enforces() -> None:
    text = find_catalog_file("fintoc").read_text()
    before = read_catalog(text, "fintoc")
    reworded = read_catalog(
        text.replace("description: ", "description: Newly worded. ", 1), "fintoc"
    )
    regranted = read_catalog(text.replace("[product, developer]", "[developer]", 1), "fintoc")
    assert before.schema_proof in before.schema()
    assert reworded.schema() != before.schema()
    assert reworded.schema_proof == before.schema_proof
    assert regranted.schema_proof != before.schema_proof


def _changed(part: object) -> object:
    """Return another value of the same type."""
    match part:
        case bool():
            return not part
        case int():
            return part + 1
        case str() | None:
            return f"{part or ''}x"
        case list():
            return [*part, "x"]
        case dict():
            return {**part, "x": "x"}
    raise TypeError(part)


def _each_change(meaning: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the catalog's meaning with one part changed, for each part, with the part's name."""
    for key, part in meaning.items():
        if isinstance(part, dict):
            for name, changed in _each_change(part):
                yield name, {**meaning, key: changed}
        else:
            yield key, {**meaning, key: _changed(part)}


def test_the_proof_covers_every_rule_of_the_catalog() -> None:
    """A process whose catalog has other rules must not decide, although the schema allows the same."""
    catalog = load_catalog("fintoc")
    meaning, rules = catalog.meaning(), json.dumps(catalog.rules(), sort_keys=True)
    texts = {"name", "label", "description", "source"}
    changed = set()
    for name, other in _each_change(meaning):
        changed.add(name)
        same = json.dumps(replace_meaning(catalog, other).rules(), sort_keys=True) == rules
        assert same == (name in texts), name
    assert changed >= {*texts, "granted_by", "reserved", "invite", "founder_role", "longest_days"}


def replace_meaning(catalog: Catalog, meaning: dict[str, Any]) -> Catalog:
    """Return a catalog that states another meaning."""

    class Other(Catalog):
        def meaning(self) -> dict[str, Any]:
            return meaning

    return Other(**{field.name: getattr(catalog, field.name) for field in fields(catalog)})
