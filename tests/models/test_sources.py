"""What each row stands for, and that no two rows stand for the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect

from teamaccess.catalog import load
from teamaccess.models import (
    Invitation,
    InvitationId,
    Membership,
    OrganizationId,
    RelationshipSource,
    RoleAssignment,
    RoleId,
    UserId,
)
from teamaccess.models.ids import LOCAL_PATTERN, ORGANIZATION_PATTERN, ROLE_PATTERN
from teamaccess.relationships import Relationship

FINTOC = load("fintoc")
ACME, ANA = OrganizationId("acme"), UserId("ana")
END = datetime(2030, 1, 1, 12, tzinfo=UTC)
HMAC = "0123456789abcdef" * 4


def test_a_membership_is_the_gate_while_it_is_active() -> None:
    membership = Membership(organization_id=ACME, user_id=ANA, suspended_at=None)
    assert _text(membership) == ["organization:acme#member@user:ana"]
    membership.suspend(END)
    assert _text(membership) == []
    membership.reactivate()
    assert _text(membership) == ["organization:acme#member@user:ana"]


def test_a_role_is_a_relation_of_the_organization_until_its_end() -> None:
    assignment = RoleAssignment(organization_id=ACME, user_id=ANA, role=RoleId("support"))
    assert _text(assignment) == ["organization:acme#support@user:ana"]
    assignment.expires_at = END
    assert _text(assignment) == [
        "organization:acme#support@user:ana[expiration:2030-01-01T12:00:00Z]"
    ]


def test_an_invitation_tells_who_may_accept_it_while_it_is_open() -> None:
    offered = "invitation:acme/inv_7#invitee@email:" + HMAC
    assert _text(_invitation()) == [f"{offered}[expiration:2030-01-01T12:00:00Z]"]
    accepted, cancelled, lapsed = _invitation(), _invitation(), _invitation()
    accepted.accept(ANA, at=END - timedelta(hours=1))
    cancelled.cancel(at=END)
    lapsed.lapse()
    assert [_text(each) for each in (accepted, cancelled, lapsed)] == [[], [], []]


def test_an_invitation_sent_again_runs_as_long_as_the_first_time() -> None:
    invitation = _invitation()
    invitation.lapse()
    invitation.renew(b"", by=ANA, at=END)
    assert invitation.expires_at == END + timedelta(days=7)
    assert _text(invitation) == [
        f"invitation:acme/inv_7#invitee@email:{HMAC}[expiration:2030-01-08T12:00:00Z]"
    ]


ends = st.none() | st.datetimes(timezones=st.just(UTC))
organizations = st.from_regex(ORGANIZATION_PATTERN, fullmatch=True) | st.just("acme")
users = st.from_regex(LOCAL_PATTERN, fullmatch=True) | st.sampled_from(["ana", "acme"])
roles = st.from_regex(ROLE_PATTERN, fullmatch=True) | st.sampled_from(["member", "invitee"])

rows: st.SearchStrategy[RelationshipSource] = st.one_of(
    st.builds(Membership, organization_id=organizations, user_id=users, suspended_at=st.none()),
    st.builds(
        RoleAssignment,
        organization_id=organizations,
        user_id=users,
        role=roles.filter(lambda role: role != "member"),  # a CHECK of the table
        expires_at=ends,
    ),
    st.builds(
        Invitation,
        organization_id=organizations,
        id=users,
        invitee=st.just(HMAC),
        expires_at=st.datetimes(timezones=st.just(UTC)),
    ),
)


@given(st.lists(rows, min_size=2, max_size=8))
def test_no_two_rows_stand_for_the_same_relationship(several: list[RelationshipSource]) -> None:
    by_key = {_key(row): row for row in several}
    identities = [each.identity for row in by_key.values() for each in row.relationships()]
    assert len(identities) == len(set(identities)) == len(by_key)


@given(rows)
def test_what_a_row_stands_for_its_own_table_could_make_and_no_other(
    row: RelationshipSource,
) -> None:
    if isinstance(row, RoleAssignment) and row.role not in FINTOC.roles:
        row.role = RoleId("support")
    for relationship in row.relationships():
        makers = [
            source
            for source in RelationshipSource.tables().values()
            if source.could_make(relationship, FINTOC)
        ]
        assert makers == [type(row)]
        assert relationship.resource.type == type(row).resource_type


@pytest.mark.parametrize(
    "text",
    [
        "organization:acme#overlord@user:ana",
        "organization:acme#support@team:acme/pay#member",
        "organization:acme#member@user:ana#member",
        "organization:acme/pay#member@user:ana",
        "organization:acme#applied@ledger_position:1-0123456789ab",
        "organization:acme#granted_links_edit@role:acme/treasurer#member",
        "team:acme/pay#member@user:ana",
        "invitation:acme#invitee@email:0123[expiration:2030-01-01T12:00:00Z]",
        "invitation:acme/inv_7#invitee@email:0123",
    ],
)
def test_there_are_relationships_that_no_row_could_stand_for(text: str) -> None:
    relationship = Relationship.parse(text)
    for source in RelationshipSource.tables().values():
        assert not source.could_make(relationship, FINTOC)


def _key(row: RelationshipSource) -> tuple[Any, ...]:
    columns = inspect(type(row)).primary_key
    return row.__tablename__, *(getattr(row, column.name) for column in columns)


def _invitation() -> Invitation:
    return Invitation(
        organization_id=ACME,
        id=InvitationId("inv_7"),
        invitee=HMAC,
        sent_at=END - timedelta(days=7),
        times_sent=1,
        expires_at=END,
    )


def _text(row: RelationshipSource) -> list[str]:
    return [str(each) for each in row.relationships()]
