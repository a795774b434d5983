"""SpiceDB accepts every name that a catalog makes, and no name is used twice."""

import pytest

from tests.catalog.small import VIEW, mistakes, with_line, with_resource, with_role


def test_two_resources_cannot_define_the_same_action() -> None:
    text = with_resource("payments_view", "all").replace("      view:", "      view_all:")
    assert mistakes(text)[0] == (
        f"24: {VIEW}_all: view_all makes the name 'payments_view_all', "
        "which line 20 already uses in the organization"
    )


UNUSABLE = {
    "qa": "which has 2 characters, where SpiceDB takes 3 to 64",
    "x" * 65: "which has 65 characters, where SpiceDB takes 3 to 64",
    "Clerks": "which SpiceDB refuses: use a-z, 0-9 and _, begin with a letter, do not end with _",
    "clerks_": "which SpiceDB refuses: use a-z, 0-9 and _, begin with a letter, do not end with _",
    "1clerk": "which SpiceDB refuses: use a-z, 0-9 and _, begin with a letter, do not end with _",
    "clérks": "which SpiceDB refuses: use a-z, 0-9 and _, begin with a letter, do not end with _",
    "permission": "which is a keyword of the schema language",
}


@pytest.mark.parametrize(("name", "complaint"), UNUSABLE.items())
def test_a_name_is_one_that_spicedb_accepts(name: str, complaint: str) -> None:
    assert mistakes(with_role(name)) == [
        f"6: roles.{name}: {name} makes the name {name!r}, {complaint}"
    ]
    assert f"41: types.{name}: {name} makes the name {name!r}, {complaint}" in mistakes(
        with_line(41, f"{name}:")
    )
    assert f"44: types.payment.actions: {name} makes the name {name!r}, {complaint}" in mistakes(
        with_line(44, f"{name}: payments_view")
    )


@pytest.mark.parametrize("resource", ["Pay ments", "pay-ments", "_payments"])
def test_names_that_begin_with_a_resource_are_accepted_by_spicedb(resource: str) -> None:
    assert mistakes(with_resource(resource, "pay")) == [
        (
            f"20: resources.{resource}.actions.pay: pay makes the name '{resource}_pay', "
            "which SpiceDB refuses: use a-z, 0-9 and _, begin with a letter, do not end with _"
        )
    ]


def test_an_action_leaves_room_for_the_relation_that_grants_it() -> None:
    assert mistakes(with_resource("p" * 52, "pay")) == []
    [mistake] = mistakes(with_resource("p" * 53, "pay"))
    assert mistake.endswith(
        f"makes the name 'granted_{'p' * 53}_pay', "
        "which has 65 characters, where SpiceDB takes 3 to 64"
    )


def test_a_four_eyes_action_leaves_room_for_the_permission_behind_it() -> None:
    fits, long = (
        "a" * (64 - len("payments__unrestricted")),
        "a" * (65 - len("payments__unrestricted")),
    )
    assert not any("characters" in mistake for mistake in mistakes(with_line(25, f"{fits}:")))
    assert any(
        f"'payments_{long}_unrestricted', which has 65 characters" in mistake
        for mistake in mistakes(with_line(25, f"{long}:"))
    )


def test_an_action_of_a_resource_leaves_room_for_the_relation_that_grants_it() -> None:
    assert not mistakes(with_line(44, f"{'v' * 56}: payments_view"))
    assert mistakes(with_line(44, f"{'v' * 57}: payments_view"))


@pytest.mark.parametrize(
    ("role", "owner"),
    [
        ("member", "the product itself"),
        ("applied", "the product itself"),
        ("head", "the product itself"),
        ("membership", "the product itself"),
        ("team_manage", "line 35"),
        ("granted_team_manage", "line 35"),
        ("payments_approve_unrestricted", "line 26"),
    ],
)
def test_a_role_does_not_take_the_name_of_something_else(role: str, owner: str) -> None:
    [mistake] = mistakes(with_role(role))
    assert mistake.startswith(
        f"6: roles.{role}: {role} makes the name {role!r}, "
        f"which {owner} already uses in the organization"
    )


@pytest.mark.parametrize(
    ("role", "meaning"),
    [
        ("member", "every active member has it, whatever their roles"),
        ("membership", "it is the permission that every active member has"),
        ("administration", "it is the permission of those who can do everything"),
        ("applied", "it marks delivered positions of the ledger"),
        ("head", "it marks the newest position of the ledger"),
    ],
)
def test_a_role_with_a_name_of_the_product_is_refused_with_what_the_name_means(
    role: str, meaning: str
) -> None:
    [mistake] = mistakes(with_role(role))
    assert mistake.endswith(f": {meaning}. Choose another id")


@pytest.mark.parametrize("name", ["user", "team", "role", "organization", "email", "invitation"])
def test_a_type_does_not_take_the_name_of_a_built_in_one(name: str) -> None:
    assert mistakes(with_line(41, f"{name}:")) == [
        (
            f"41: types.{name}: {name} makes the name {name!r}, "
            "which the product itself already uses in the types"
        )
    ]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("organization", "the product itself"),
        ("creator", "the product itself"),
        ("granted_view", "line 44"),
    ],
)
def test_an_action_of_a_resource_does_not_take_the_name_of_something_else(
    name: str, owner: str
) -> None:
    text = with_line(44, "view: payments_view", f"{name}: payments_view")
    assert mistakes(text) == [
        (
            f"45: types.payment.actions: {name} makes the name {name!r}, "
            f"which {owner} already uses in this type"
        )
    ]
