"""Roles that include other roles or whole levels, and roles that may give others."""

import pytest

from teamaccess.catalog import Catalog, read_catalog
from teamaccess.catalog.inclusion import MOST_HOLDERS
from tests.catalog.small import SMALL, mistakes, with_line

AUDITOR = [
    "auditor:",
    "  name: Auditor",
    "  description: Reads.",
    "  granted_by: dashboard",
]


def with_auditor(*more: str, text: str = SMALL) -> str:
    """Return the small catalog with a third role that has these keys."""
    lines = text.splitlines()
    lines[14:14] = ["  " + line for line in [*AUDITOR, *(f"  {key}" for key in more)]]
    return "\n".join(lines)


def catalog(text: str) -> Catalog:
    return read_catalog(text, "small")


def test_a_role_holds_what_the_roles_that_it_includes_hold() -> None:
    found = catalog(with_auditor("includes: [clerk]"))
    assert found.actions["payments_view"].roles == ("owner", "clerk", "auditor")
    assert found.actions["team_manage"].roles == ("owner",)


def test_inclusion_goes_through_several_roles() -> None:
    text = with_auditor("includes: [clerk]", "may_give: [clerk]")
    more = "  boss: {name: B, description: D, granted_by: dashboard, includes: [auditor]}"
    found = catalog(text.replace("  auditor:", f"{more}\n  auditor:"))
    assert found.actions["payments_view"].roles == ("owner", "clerk", "boss", "auditor")
    assert found.roles["boss"].may_give == ("clerk",)


def test_a_role_holds_every_action_of_its_levels() -> None:
    found = catalog(with_auditor("levels: [view, manage]"))
    assert found.roles["auditor"].actions == {"payments_view", "team_manage"}


def test_an_included_role_compiles_like_a_role_that_lists_the_same_actions() -> None:
    listed = with_auditor().replace("roles: [clerk]", "roles: [clerk, auditor]")
    for included in ("includes: [clerk]", "levels: [view]"):
        found = catalog(with_auditor(included))
        assert found.schema() == catalog(listed).schema()
        assert found.version == catalog(listed).version


def test_the_administrators_role_may_say_what_it_includes() -> None:
    found = catalog(with_line(9, "granted_by: dashboard", "includes: [clerk]"))
    assert found.version == catalog(SMALL).version


@pytest.mark.parametrize(
    ("key", "mistake"),
    [
        (
            "includes: [clark]",
            "`includes` names the unknown role 'clark'; known are owner, clerk, auditor",
        ),
        ("includes: [owner]", "`includes` names owner, the role that may do everything"),
        ("includes: []", "`includes` is empty: leave it out"),
        ("includes: clerk", "`includes` must be a list"),
        ("includes: [auditor]", "is included in itself: auditor includes auditor"),
        ("levels: [see]", "`levels` must list view, manage, authorize, not 'see'"),
        ("levels: [view, view]", "`levels` lists 'view' twice"),
        (
            "may_give: [clark]",
            "`may_give` names the unknown role 'clark'; known are owner, clerk, auditor",
        ),
        ("may_give: [owner]", "`may_give` names owner, the role that may do everything"),
        ("may_give: [clerk, clerk]", "`may_give` lists 'clerk' twice"),
    ],
)
def test_a_wrong_inclusion_is_reported_with_its_line(key: str, mistake: str) -> None:
    assert mistakes(with_auditor(key)) == [f"19: roles.auditor: {mistake}"]


def test_a_circle_of_roles_is_reported_once() -> None:
    text = with_line(14, "teams: true", "includes: [auditor]")
    lines = text.splitlines()
    lines[15:15] = ["  " + line for line in [*AUDITOR, "  includes: [clerk]"]]
    assert mistakes("\n".join(lines)) == [
        "15: roles.clerk: is included in itself: clerk includes auditor includes clerk"
    ]


def test_no_role_includes_or_gives_what_only_operators_give() -> None:
    text = SMALL.replace("dashboard\n    teams: true", "operator\n    # not for teams")
    text = text.replace("roles: [clerk]\n", "roles: [clerk]\n        reserved: true\n")
    assert mistakes(with_auditor("includes: [clerk]", "may_give: [clerk]", text=text)) == [
        "19: roles.auditor: includes clerk, which only operators give",
        "20: roles.auditor: may give clerk, which only operators give",
    ]


def test_a_short_text_cannot_stand_for_a_huge_schema() -> None:
    roles = "".join(
        f"  rol{n}: {{name: R, description: D, granted_by: dashboard, levels: [manage]}}\n"
        for n in range(400)
    )
    actions = "".join(
        f"      do{n}: {{description: D, level: manage, source: table, roles: [clerk]}}\n"
        for n in range(400)
    )
    text = SMALL.replace("resources:\n", f"{roles}resources:\n", 1)
    text = text.replace("    actions:\n", f"    actions:\n{actions}", 1)
    assert f"1: catalog: has roles with more than {MOST_HOLDERS} actions altogether" in "".join(
        mistakes(text)[:1]
    )


def test_a_long_chain_of_roles_is_read_quickly() -> None:
    chain = "".join(
        f"  rol{n}: {{name: R, description: D, granted_by: dashboard, includes: [rol{n + 1}]}}\n"
        for n in range(1000)
    )
    last = "  rol1000: {name: R, description: D, granted_by: dashboard, includes: [clerk]}\n"
    found = catalog(SMALL.replace("resources:\n", f"{chain}{last}resources:\n", 1))
    assert found.roles["rol0"].actions == {"payments_view"}


def test_a_role_that_may_give_another_has_a_permission_for_it() -> None:
    schema = catalog(with_auditor("may_give: [clerk]")).schema()
    assert "  permission may_give_clerk = (owner + auditor) & member" in schema
    assert "may_give" not in catalog(SMALL).schema()
