"""Mistakes in a catalog: all are reported at once, each with its line."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.catalog import InvalidCatalog, UnknownCatalog, load_catalog
from tests.catalog.small import APPROVE, HERE, SMALL, VIEW, mistakes, with_line


def test_the_small_catalog_has_no_mistake() -> None:
    assert mistakes(SMALL) == []


@pytest.mark.parametrize(
    ("roles", "mistake"),
    [
        ("[clark]", "names the unknown role 'clark'; known are owner, clerk"),
        ("[]", "is for nobody; write [owner] if it is only for the administrator"),
        ("[clerk, clerk]", "`roles` lists 'clerk' twice"),
        ("[owner, clerk]", "lists owner, the role that may do everything, with other roles"),
        ("clerk", "`roles` must be a list"),
        ("[7]", "`roles` must list texts"),
        ("[[clerk]]", "`roles` must list texts"),
    ],
)
def test_an_action_is_for_roles_that_exist(roles: str, mistake: str) -> None:
    assert mistakes(with_line(24, f"roles: {roles}")) == [f"24: {VIEW}: {mistake}"]


@pytest.mark.parametrize(
    ("level", "mistake"),
    [
        ("see", "`level` must be one of view, manage, authorize, not 'see'"),
        ("[view]", "`level` must be text (quote it if it looks like another type)"),
        ("", "`level` must be text (quote it if it looks like another type)"),
    ],
)
def test_a_level_is_one_of_three(level: str, mistake: str) -> None:
    assert mistakes(with_line(22, f"level: {level}")) == [f"22: {VIEW}: {mistake}"]


def test_a_source_is_one_of_three() -> None:
    assert mistakes(with_line(23, "source: rumour")) == [
        f"23: {VIEW}: `source` must be one of table, prose, product, not 'rumour'"
    ]


def test_a_role_is_granted_in_one_of_two_ways() -> None:
    assert mistakes(with_line(9, "granted_by: chance")) == [
        "9: roles.owner: `granted_by` must be one of dashboard, operator, not 'chance'"
    ]


@pytest.mark.parametrize(
    ("description", "mistake"),
    [
        ("7", "must be text (quote it if it looks like another type)"),
        ("yes", "must be text (quote it if it looks like another type)"),
        ("{}", "must be text (quote it if it looks like another type)"),
        ('""', "must be one line of text that can be seen"),
        ('" "', "must be one line of text that can be seen"),
        ('"two\\nlines"', "must be one line of text that can be seen"),
        ('"two\\u2028lines"', "must be one line of text that can be seen"),
    ],
)
def test_a_description_is_one_line_of_text(description: str, mistake: str) -> None:
    text = with_line(21, f"description: {description}")
    assert mistakes(text) == [f"21: {VIEW}: `description` {mistake}"]


@pytest.mark.parametrize("flag", ["yes", "maybe", "1", "[true]"])
def test_a_flag_is_true_or_false(flag: str) -> None:
    assert f"30: {APPROVE}: `four_eyes` must be true or false" in mistakes(
        with_line(30, f"four_eyes: {flag}")
    )
    assert mistakes(with_line(14, f"teams: {flag}")) == [
        "14: roles.clerk: `teams` must be true or false"
    ]


def test_a_missing_key_is_reported_where_it_belongs() -> None:
    assert mistakes(with_line(22, "# level")) == [f"20: {VIEW}: needs `level`"]
    assert mistakes(with_line(53, "# invite")) == ["47: guards: needs `invite`"]
    assert mistakes(with_line(42, "# label")) == ["41: types.payment: needs `label`"]
    assert mistakes(with_line(2, "# nobody")) == ["1: catalog: needs `administrator`"]


@pytest.mark.parametrize(
    ("number", "where"),
    [
        (1, "catalog"),
        (7, "roles.owner"),
        (18, "resources.payments"),
        (21, VIEW),
        (42, "types.payment"),
        (48, "guards"),
    ],
)
def test_an_unknown_key_is_reported_with_the_known_keys(number: int, where: str) -> None:
    line = SMALL.splitlines()[number - 1].strip()
    [mistake] = mistakes(with_line(number, line, "colour: red"))
    assert mistake.startswith(f"{number + 1}: {where}: has the unknown key 'colour'; known are ")


@pytest.mark.parametrize(
    ("number", "line", "mistake"),
    [
        (10, "owner:", "10: roles: has 'owner' twice"),
        (25, "view:", "25: resources.payments.actions: has 'view' twice"),
        (31, "payments:", "31: resources: has 'payments' twice"),
        (45, "view: payments_view", "45: types.payment.actions: has 'view' twice"),
        (54, "invite: team_manage", "54: guards: has 'invite' twice"),
    ],
)
def test_no_key_or_entry_may_appear_twice(number: int, line: str, mistake: str) -> None:
    assert mistake in mistakes(with_line(number, line))


@pytest.mark.parametrize("key", ["7", "no", "null", "[x]"])
def test_keys_are_text(key: str) -> None:
    assert "54: guards: has a key that is not text" in mistakes(
        with_line(53, "invite: team_manage", f"{key}: team_manage")
    )


def test_the_administrator_is_a_role() -> None:
    assert "2: catalog: names the unknown role 'boss'; known are owner, clerk" in mistakes(
        with_line(2, "administrator: boss")
    )


def test_the_founder_becomes_the_administrator() -> None:
    assert mistakes(with_line(3, "founder_role: clerk")) == [
        "3: catalog: `founder_role` must be owner: every organization needs one"
    ]


def test_teams_cannot_hold_the_administrators_role_or_an_operators_role() -> None:
    assert mistakes(with_line(9, "granted_by: dashboard", "teams: true")) == [
        "6: roles.owner: is the administrator's role, which teams cannot hold"
    ]
    assert mistakes(with_line(13, "granted_by: operator"))[1:] == [
        "10: roles.clerk: is for operators to grant, which a team would bypass"
    ]


def test_an_operators_role_cannot_be_rebuilt_from_its_actions() -> None:
    assert mistakes(with_line(13, "granted_by: operator"))[:1] == [
        (
            "10: roles.clerk: is for operators to grant, so one of its actions must be `reserved`."
            " Otherwise an organization could make the same role itself"
        )
    ]


def test_a_guard_names_an_action() -> None:
    assert mistakes(with_line(53, "invite: team_mange")) == [
        "53: guards: invite names the unknown action 'team_mange'"
    ]


def test_a_guard_cannot_name_an_action_that_is_decided_on_resources() -> None:
    assert mistakes(with_line(53, "invite: payments_approve")) == [
        "53: guards: invite names payments_approve, which is decided only on an object"
    ]


def test_a_type_names_actions() -> None:
    assert mistakes(with_line(44, "view: payments_look")) == [
        "44: types.payment.actions: view names the unknown action 'payments_look'"
    ]


def test_a_four_eyes_action_needs_a_resource_type() -> None:
    assert mistakes(with_line(45, "# nothing to approve")) == [
        f"25: {APPROVE}: is four-eyes, decided only on an object, but no type has it"
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "1: is empty"),
        ("# nothing yet", "1: is empty"),
        ("- roles", "1: catalog: must be a block of `key: value` lines"),
        ("roles:\n  owner: [", "2: not YAML: did not find expected node content"),
        ("roles: {}\n---\nroles: {}", "2: not YAML: but found another document"),
        ("roles: \x00", "1: not YAML: unacceptable character #x0000: control characters are not"),
    ],
)
def test_a_file_that_is_not_a_catalog_is_reported_as_such(text: str, mistake: str) -> None:
    [found] = mistakes(text)
    assert found.startswith(mistake)


def test_a_block_of_the_wrong_type_hides_only_its_own_content() -> None:
    assert mistakes(with_line(40, "types: 7", "rest:")) == [
        f"25: {APPROVE}: is four-eyes, decided only on an object, but no type has it",
        "40: types: must be a block of `key: value` lines",
        (
            "41: catalog: has the unknown key 'rest'; "
            "known are roles, administrator, resources, types, guards, founder_role, longest_days"
        ),
    ]


def test_a_catalog_has_a_name_and_its_versions_begin_with_it() -> None:
    assert mistakes(SMALL, name="My Catalog") == [
        "1: the file's name must be of a-z, 0-9, _ and -, not 'My Catalog'"
    ]


def test_all_mistakes_of_a_file_are_listed_at_once_with_their_lines() -> None:
    with pytest.raises(InvalidCatalog) as invalid:
        load_catalog(HERE / "wrong.yaml")
    found = [f"{mistake.line}: {mistake.message}" for mistake in invalid.value.mistakes]
    assert found[:8] == [
        "3: roles.qa: qa makes the name 'qa', which has 2 characters, where SpiceDB takes 3 to 64",
        "4: roles.owner: `granted_by` must be one of dashboard, operator, not 'anyone'",
        f"9: {VIEW}: names the unknown role 'clerk'; known are qa, owner",
        "10: resources.payments.actions: has 'view' twice",
        (
            "11: resources.payments.actions.refund: has the unknown key 'colour'; "
            "known are level, description, source, roles, four_eyes, reserved"
        ),
        (
            "11: resources.payments.actions.refund: is for nobody; "
            "write [owner] if it is only for the administrator"
        ),
        "13: guards: needs `act_on_behalf`",
        "13: guards: needs `cancel_invitation`",
    ]
    assert found[-1] == "14: guards: invite names the unknown action 'payments_invite'"
    assert str(invalid.value).startswith(f"{HERE / 'wrong.yaml'}:3: roles.qa: ")


@pytest.mark.parametrize("text", ["[" * 20_000 + "]" * 20_000, "- " * 20_000, "? " * 20_000])
def test_endless_nesting_is_refused(text: str) -> None:
    assert mistakes(text) == ["1: is nested too deep"]


def test_a_catalog_that_does_not_exist_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownCatalog, match="no catalog is called atlantis; known are finicom"):
        load_catalog("atlantis")
    with pytest.raises(UnknownCatalog, match="no catalog can be read from"):
        load_catalog(tmp_path / "none.yaml")


LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["owner", "view"])
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.data())
def test_any_value_in_any_place_is_read_or_reported(data: st.DataObject) -> None:
    tree = yaml.safe_load(SMALL)
    place = data.draw(st.sampled_from(list(places(tree))), label="place")
    *above, last = place
    parent = tree
    for key in above:
        parent = parent[key]
    parent[last] = data.draw(NESTED, label="instead")
    mistakes(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))


def places(tree: object, *above: object) -> list[tuple[object, ...]]:
    """Return the path to every value in a tree."""
    entries = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree if isinstance(tree, list) else [])
    )
    return [path for key, value in entries for path in ((*above, key), *places(value, *above, key))]
