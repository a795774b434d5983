"""The text form of relationships, and SpiceDB's limits of their parts."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from authzed.api.v1 import core_pb2
from hypothesis import assume, example, given
from hypothesis import strategies as st
from validate import validate_pb2  # type: ignore[import-untyped]

from teamaccess.relationships import (
    InvalidRelationship,
    ObjectReference,
    Relationship,
    SubjectReference,
    email,
    invitation,
    ledger_position,
    organization,
    role,
    team,
    user,
)

NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{1,62}[a-z0-9]\Z")
IDS = st.from_regex(r"\A[a-zA-Z0-9/_|\-=+]{1,40}\Z")
OBJECTS = st.builds(ObjectReference, NAMES, IDS)
SUBJECTS = st.builds(SubjectReference, OBJECTS, st.none() | NAMES)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)  # noqa: DTZ001
RELATIONSHIPS = st.builds(Relationship, OBJECTS, NAMES, SUBJECTS, st.none() | INSTANTS)


def spicedb_takes(message: type[Any], field: str, text: str) -> bool:
    """Whether the rule that SpiceDB's own API declares for a field accepts the text."""
    options = message.DESCRIPTOR.fields_by_name[field].GetOptions()
    rule = options.Extensions[validate_pb2.rules].string
    # Go's `$` is the end of the text; Python's would let one newline follow.
    return bool(re.search(rule.pattern[:-1] + r"\Z", text)) and len(text) <= rule.max_bytes


@given(RELATIONSHIPS)
def test_a_relationship_is_read_back_from_its_text(relationship: Relationship) -> None:
    assert Relationship.parse(str(relationship)) == relationship


@given(OBJECTS, SUBJECTS)
def test_objects_and_subjects_are_read_back_from_their_text(
    reference: ObjectReference, subject: SubjectReference
) -> None:
    assert ObjectReference.parse(str(reference)) == reference
    assert SubjectReference.parse(str(subject)) == subject


@given(st.text() | st.text("abc:#@/[]*. \n0123456789TZ-expirationsWAS"))
@example("")
@example("organization:acme#member@user:ana\n")
@example("organization:acme#member@user:ana#...")
def test_any_text_is_a_relationship_or_is_refused(text: str) -> None:
    try:
        relationship = Relationship.parse(text)
    except InvalidRelationship:
        return
    assert Relationship.parse(str(relationship)) == relationship


def is_accepted(build: Callable[..., object], *parts: object) -> bool:
    try:
        build(*parts)
    except InvalidRelationship:
        return False
    return True


@given(st.text(max_size=70) | st.text("az09_-A\n", max_size=70) | NAMES)
@example("a" * 64)
@example("a" * 65)
@example("ab")
@example("abc\n")
@example("ab_")
@example("_ab")
@example("1ab")
def test_names_are_exactly_those_that_spicedb_accepts(name: str) -> None:
    relates = is_accepted(organization("acme").relates, name, user("ana"))
    subject = is_accepted(team("acme", "pay").subject, name)
    type_ = is_accepted(ObjectReference, name, "acme")
    assert relates == subject == type_ == spicedb_takes(core_pb2.Relationship, "relation", name)


@given(st.text(max_size=40) | IDS)
@example("a" * 1024)
@example("a" * 1025)
@example("")
@example("ana\n")
@example("ana@example.com")
@example("ána")
def test_ids_are_exactly_those_that_spicedb_accepts(object_id: str) -> None:
    assume(object_id != "*")  # the wildcard, which the next test is about
    taken = spicedb_takes(core_pb2.ObjectReference, "object_id", object_id)
    assert is_accepted(ObjectReference, "user", object_id) == taken


def test_the_wildcard_and_prefixed_types_are_not_part_of_the_vocabulary() -> None:
    assert spicedb_takes(core_pb2.ObjectReference, "object_id", "*")
    assert not is_accepted(user, "*")
    assert spicedb_takes(core_pb2.ObjectReference, "object_type", "tenant/document")
    assert not is_accepted(ObjectReference, "tenant/document", "1")


def test_an_expiration_is_printed_as_go_prints_it() -> None:
    ana = organization("acme").relates(
        "member", user("ana"), until=datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert str(ana) == "organization:acme#member@user:ana[expiration:2027-01-01T00:00:00Z]"
    half = organization("acme").relates(
        "member",
        user("ana"),
        until=datetime(2027, 1, 1, 2, 0, 0, 500_000, timezone(timedelta(hours=2))),
    )
    assert str(half) == "organization:acme#member@user:ana[expiration:2027-01-01T00:00:00.5Z]"


@given(INSTANTS)
def test_an_expiration_is_stored_in_utc(instant: datetime) -> None:
    relationship = organization("acme").relates("member", user("ana"), until=instant)
    assert relationship.expiration == instant
    assert relationship.expiration is not None
    assert relationship.expiration.tzinfo is UTC


@pytest.mark.parametrize(
    "instant",
    [
        "2027-01-01",
        "2027-01-01T00:00:00",
        "2027-01-01T00:00:00+00:00",
        "2027-01-01T24:00:00Z",
        "2027-02-30T00:00:00Z",
        "2027-01-01T00:00:60Z",
        "2027-01-01T00:00:00.1234567Z",
        "2027-01-01T00:00:00.Z",
        "0000-01-01T00:00:00Z",
        "\u0662027-01-01T00:00:00Z",
        "",
    ],
)
def test_another_spelling_of_an_expiration_is_refused(instant: str) -> None:
    with pytest.raises(InvalidRelationship):
        Relationship.parse(f"organization:acme#member@user:ana[expiration:{instant}]")


def test_an_expiration_without_a_timezone_is_refused() -> None:
    with pytest.raises(InvalidRelationship, match="timezone"):
        organization("acme").relates("member", user("ana"), until=datetime(2027, 1, 1))  # noqa: DTZ001


def test_an_expiration_outside_of_the_calendar_is_refused() -> None:
    west = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    with pytest.raises(InvalidRelationship, match="out of range"):
        organization("acme").relates("member", user("ana"), until=west)


def test_a_relationship_has_expired_once_its_expiration_is_reached() -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC)
    ending = organization("acme").relates("support", user("ana"), until=end)
    assert not ending.expired(at=end - timedelta(microseconds=1))
    assert ending.expired(at=end)
    assert not organization("acme").relates("support", user("ana")).expired(at=end)


def test_its_identity_leaves_the_expiration_out() -> None:
    for_ever = organization("acme").relates("support", team("acme", "pay").subject("member"))
    ending = organization("acme").relates(
        "support", team("acme", "pay").subject("member"), until=datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert for_ever != ending
    assert for_ever.identity == ending.identity == "organization:acme#support@team:acme/pay#member"


@given(st.lists(RELATIONSHIPS, max_size=4))
def test_relationships_sort_by_their_text(relationships: list[Relationship]) -> None:
    assert [str(r) for r in sorted(relationships)] == sorted(map(str, relationships))


def test_object_constructors_use_their_types() -> None:
    assert [
        str(named)
        for named in (
            user("ana"),
            organization("acme"),
            team("acme", "pay"),
            role("acme", "treasurer"),
            invitation("acme", "inv7"),
            email("5f2b"),
            ledger_position(43, "0123456789abcdef"),
        )
    ] == [
        "user:ana",
        "organization:acme",
        "team:acme/pay",
        "role:acme/treasurer",
        "invitation:acme/inv7",
        "email:5f2b",
        "ledger_position:43-0123456789ab",
    ]
