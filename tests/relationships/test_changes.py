"""Updates, and the laws between states and the updates that lead from one to the other."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.relationships import (
    Delete,
    InvalidRelationship,
    Purge,
    Relationship,
    ReplayConflict,
    Restore,
    Touch,
    Update,
    difference,
    organization,
    parse_update,
    replay,
    user,
)

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
ENDS = st.sampled_from([None, NEW_YEAR, NEW_YEAR.replace(microsecond=1)])
ACME = organization("acme")
ANA = ACME.relates("member", user("ana"))
ANA_ENDING = ACME.relates("member", user("ana"), until=NEW_YEAR)
BOB = ACME.relates("member", user("bob"))

# Few names, so that two states often speak of the same relationship.
IDENTITIES = st.tuples(
    st.sampled_from(["member", "support"]), st.sampled_from(["ana", "bob", "eve"])
)
STATES = st.dictionaries(IDENTITIES, ENDS).map(
    lambda ends: {
        ACME.relates(relation, user(name), until=end) for (relation, name), end in ends.items()
    }
)


@given(STATES, STATES)
def test_replaying_a_difference_leads_to_the_other_state(
    before: set[Relationship], after: set[Relationship]
) -> None:
    assert replay(difference(before, after), onto=before) == after


@given(st.lists(STATES))
def test_a_history_replayed_from_nothing_is_its_last_state(states: list[set[Relationship]]) -> None:
    steps = zip([set[Relationship](), *states], states, strict=False)
    history = [update for before, after in steps for update in difference(before, after)]
    assert replay(history) == (states[-1] if states else set())


@given(STATES, STATES)
def test_a_difference_touches_each_identity_once_and_deletes_first(
    before: set[Relationship], after: set[Relationship]
) -> None:
    updates = difference(before, after)
    identities = [update.relationship.identity for update in updates]
    assert len(identities) == len(set(identities))
    assert updates == sorted(
        updates, key=lambda update: (isinstance(update, Touch), update.relationship.identity)
    )


@given(STATES, STATES)
def test_updates_are_read_back_from_their_text(
    before: set[Relationship], after: set[Relationship]
) -> None:
    updates = difference(before, after)
    assert [parse_update(str(update)) for update in updates] == updates


@given(STATES, STATES)
def test_a_repair_update_is_read_back_from_its_text_and_changes_no_state(
    decided: set[Relationship], held: set[Relationship]
) -> None:
    names = {each.identity for each in decided}
    repairs: list[Update] = [
        *(Purge(each) for each in sorted(held) if each.identity not in names),
        *(Restore(each) for each in sorted(decided - held)),
    ]
    assert [parse_update(str(update)) for update in repairs] == repairs
    assert replay(repairs, onto=decided) == decided


@given(STATES)
def test_equal_states_have_no_difference(state: set[Relationship]) -> None:
    assert difference(state, state) == []


def test_an_update_knows_what_it_replaces() -> None:
    assert [str(update) for update in difference([ANA, BOB], [ANA_ENDING])] == [
        "DELETE organization:acme#member@user:bob",
        f"TOUCH {ANA}[expiration:2027-01-01T00:00:00Z] WAS {ANA}",
    ]


def test_a_touch_replaces_only_the_expiration() -> None:
    for was in (BOB, ANA):
        with pytest.raises(InvalidRelationship, match="expiration and nothing else"):
            Touch(ANA, was)


def test_one_relationship_cannot_expire_at_two_times() -> None:
    with pytest.raises(InvalidRelationship, match="both"):
        difference([], [ANA, ANA_ENDING])


@pytest.mark.parametrize(
    ("updates", "onto"),
    [
        ([Delete(ANA)], []),
        ([Delete(ANA)], [ANA_ENDING]),
        ([Delete(ANA), Delete(ANA)], [ANA]),
        ([Touch(ANA)], [ANA]),
        ([Touch(ANA)], [ANA_ENDING]),
        ([Touch(ANA, was=ANA_ENDING)], []),
        ([Touch(ANA_ENDING, was=ANA), Touch(ANA_ENDING, was=ANA)], [ANA]),
        ([Restore(ANA)], []),
        ([Restore(ANA)], [ANA_ENDING]),
        ([Purge(ANA)], [ANA]),
        ([Purge(ANA)], [ANA_ENDING]),
    ],
    ids=lambda part: "; ".join(map(str, part)) or "nothing",
)
def test_an_update_that_does_not_fit_the_state_is_refused(
    updates: list[Update], onto: list[Relationship]
) -> None:
    with pytest.raises(ReplayConflict):
        replay(updates, onto)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TOUCH",
        "DELETE ",
        "CREATE organization:acme#member@user:ana",
        "touch organization:acme#member@user:ana",
        "TOUCH  organization:acme#member@user:ana",
        "DELETE organization:acme#member@user:ana WAS organization:acme#member@user:ana",
        "TOUCH organization:acme#member@user:ana WAS ",
        "RESTORE organization:acme#member@user:ana WAS organization:acme#member@user:ana",
        "PURGE",
        "TOUCH organization:acme#member@user:ana WAS organization:acme#member@user:bob",
    ],
)
def test_text_that_is_not_an_update_is_refused(text: str) -> None:
    with pytest.raises(InvalidRelationship):
        parse_update(text)
