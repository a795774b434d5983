"""From notes to updates to positions, in all the ways in which rows can change."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from teamaccess.ledger.session import UPDATES_PER_POSITION, Note, net_updates, split_into_positions
from teamaccess.relationships import (
    Delete,
    ObjectReference,
    Relationship,
    Touch,
    Update,
    difference,
    organization,
    parse_update,
    replay,
    user,
)
from teamaccess.storage import OrganizationId

Key = tuple[str, str]
Rows = dict[Key, str | None]
"""Memberships by organization and user, with the time of their suspension."""

keys = st.tuples(st.sampled_from(["acme", "globex"]), st.sampled_from("abc"))
times = st.sampled_from([None, None, "2030-01-01T00:00:00+00:00", "2031-01-01T00:00:00+00:00"])
steps = st.lists(st.tuples(keys, keys, times, st.booleans()), max_size=30)


@given(st.dictionaries(keys, times), steps, st.randoms(use_true_random=False))
def test_notes_sum_up_to_the_difference_between_the_first_and_the_last_row(
    rows: Rows, changes: list[tuple[Key, Key, str | None, bool]], random: Any
) -> None:
    before, notes = dict(rows), []
    for key, other, suspended_at, delete in changes:
        notes.append(_change_row(rows, key, None if delete else other, suspended_at))
    random.shuffle(notes)
    updates = net_updates(notes)
    assert list(updates) == sorted(updates)
    for tenant in map(OrganizationId, ("acme", "globex")):
        wanted = difference(_relationships_of(before, tenant), _relationships_of(rows, tenant))
        assert updates.get(tenant, []) == wanted


subjects = st.integers(0, 1200)
updates = st.lists(
    st.tuples(subjects, st.sampled_from(["product", "support", "member"]), st.booleans()),
    unique_by=lambda update: update[:2],
    max_size=50,
)


@given(updates, st.integers(0, 1500), st.integers(0, 1500))
def test_positions_are_small_and_complete_and_delete_before_they_touch(
    drawn: list[tuple[int, str, bool]], revoked: int, given_to: int
) -> None:
    fillers = [(10_000 + each, "member", False) for each in range(revoked)]
    fillers += [(20_000 + each, "member", True) for each in range(given_to)]
    wanted = [_update(*each) for each in [*drawn, *fillers]]
    made = list(split_into_positions(wanted))
    assert Counter(map(str, wanted)) == Counter(str(each) for position in made for each in position)
    assert all(0 < len(position) <= UPDATES_PER_POSITION for position in made) or made == [[]]
    where: dict[str, set[int]] = {}
    for place, position in enumerate(made):
        for update in position:
            where.setdefault(str(update.relationship.subject), set()).add(place)
    assert all(len(places) == 1 for places in where.values())
    pure = [all(isinstance(each, Delete) for each in position) for position in made]
    assert pure == sorted(pure, reverse=True)


objects = st.lists(
    st.tuples(st.integers(0, 3000), st.sampled_from(["ana", "bob"]), st.booleans()),
    unique_by=lambda each: each[0],
    max_size=20,
)


@given(objects, st.integers(0, 1100), st.integers(0, 1100), st.integers(0, 40))
def test_a_resource_and_its_creator_are_in_one_position_whatever_the_size(
    drawn: list[tuple[int, str, bool]], registered: int, removed: int, roles: int
) -> None:
    orders = [*drawn, *((10_000 + each, "ana", True) for each in range(registered))]
    orders += [(20_000 + each, "bob", False) for each in range(removed)]
    wanted = [update for each in orders for update in _transfer(*each)]
    wanted += [_update(each, "product", touch) for each in range(roles) for touch in (True, False)]
    made = list(
        split_into_positions(sorted(wanted, key=lambda each: (isinstance(each, Touch), str(each))))
    )
    assert Counter(map(str, wanted)) == Counter(str(each) for position in made for each in position)
    assert all(len(position) <= UPDATES_PER_POSITION for position in made)
    where: dict[str, set[int]] = {}
    for place, position in enumerate(made):
        for update in position:
            relationship = update.relationship
            transfer = relationship.resource.type == "transfer"
            kept_together = relationship.resource if transfer else relationship.subject
            where.setdefault(str(kept_together), set()).add(place)
    assert all(len(places) == 1 for places in where.values())
    pure = [all(isinstance(each, Delete) for each in position) for position in made]
    assert len(made) == 1 or pure == sorted(pure, reverse=True)


def test_updates_are_read_back_as_written() -> None:
    ana = organization("acme").relates("member", user("ana"))
    assert [parse_update(str(each)) for each in (Touch(ana), Delete(ana))] == [
        Touch(ana),
        Delete(ana),
    ]
    assert replay([Touch(ana), Delete(ana)]) == set()


def _transfer(number: int, creator: str, registered: bool) -> list[Update]:
    transfer = ObjectReference("transfer", f"acme/t_{number}")
    rows = (
        transfer.relates("creator", user(creator)),
        transfer.relates("organization", organization("acme")),
    )
    return [Touch(each) if registered else Delete(each) for each in rows]


def _update(number: int, relation: str, touch: bool) -> Update:
    relationship = organization("acme").relates(relation, user(f"u{number}"))
    return Touch(relationship) if touch else Delete(relationship)


def _change_row(rows: Rows, key: Key, to: Key | None, suspended_at: str | None) -> Note:
    """Make, change, move or (without `to`) delete the row with that key."""
    before = [_image(key, rows.pop(key))] if key in rows else []
    if to is None:
        return Note("memberships", before, [])
    to = to if before and to not in rows else key
    rows[to] = suspended_at
    return Note("memberships", before, [_image(to, suspended_at)])


def _image(key: Key, suspended_at: str | None) -> dict[str, Any]:
    return {
        "organization_id": key[0],
        "user_id": key[1],
        "suspended_at": suspended_at,
        "expires_at": None,
    }


def _relationships_of(rows: Rows, tenant: str) -> list[Relationship]:
    return [
        organization(tenant).relates("member", user(name))
        for (id, name), suspended_at in rows.items()
        if id == tenant and suspended_at is None
    ]
