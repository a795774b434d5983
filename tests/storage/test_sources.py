"""The relationships of each row. No two rows have the same one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect

from teamaccess.catalog import load_catalog
from teamaccess.relationships import Relationship
from teamaccess.storage import (
    CustomRoleAction,
    Grant,
    HolderKind,
    Invitation,
    InvitationId,
    Membership,
    OrganizationId,
    RelationshipSource,
    Resource,
    ResourceId,
    RoleAssignment,
    RoleId,
    TeamId,
    TeamMembership,
    TeamRole,
    UserId,
)
from teamaccess.storage.base import LOCAL_PATTERN, ORGANIZATION_PATTERN, ROLE_PATTERN

FINTOC = load_catalog("fintoc")
ACME, ANA = OrganizationId("acme"), UserId("ana")
PAY, TREASURER = TeamId("pay"), RoleId("treasurer")
END = datetime(2030, 1, 1, 12, tzinfo=UTC)
HMAC = "0123456789abcdef" * 4


def test_an_active_membership_is_the_member_relationship() -> None:
    membership = Membership(organization_id=ACME, user_id=ANA, suspended_at=None)
    assert _text(membership) == ["organization:acme#member@user:ana"]
    membership.suspend(END)
    assert _text(membership) == []
    membership.reactivate()
    assert _text(membership) == ["organization:acme#member@user:ana"]


def test_a_role_is_a_relation_of_the_organization_until_it_expires() -> None:
    assignment = RoleAssignment(organization_id=ACME, user_id=ANA, role=RoleId("support"))
    assert _text(assignment) == ["organization:acme#support@user:ana"]
    assignment.expires_at = END
    assert _text(assignment) == [
        "organization:acme#support@user:ana[expiration:2030-01-01T12:00:00Z]"
    ]


def test_an_open_invitation_is_a_relationship_to_its_invitee() -> None:
    offered = "invitation:acme/inv_7#invitee@email:" + HMAC
    assert _text(_invitation()) == [f"{offered}[expiration:2030-01-01T12:00:00Z]"]
    accepted, cancelled, lapsed = _invitation(), _invitation(), _invitation()
    accepted.accept(ANA, at=END - timedelta(hours=1))
    cancelled.cancel(at=END)
    lapsed.lapse()
    assert [_text(each) for each in (accepted, cancelled, lapsed)] == [[], [], []]


def test_a_resent_invitation_lasts_as_long_as_the_first_time() -> None:
    invitation = _invitation()
    invitation.lapse()
    invitation.renew(b"", by=ANA, via=None, at=END)
    assert invitation.expires_at == END + timedelta(days=7)
    assert _text(invitation) == [
        f"invitation:acme/inv_7#invitee@email:{HMAC}[expiration:2030-01-08T12:00:00Z]"
    ]


def test_a_custom_role_is_an_object_that_its_actions_are_granted_to() -> None:
    allowed = CustomRoleAction(organization_id=ACME, role=TREASURER, action="links_edit")
    assert _text(allowed) == ["organization:acme#granted_links_edit@role:acme/treasurer#member"]
    held = RoleAssignment(organization_id=ACME, user_id=ANA, role=TREASURER, custom=True)
    assert _text(held) == ["role:acme/treasurer#member@user:ana"]


def test_a_team_holds_roles_for_its_members() -> None:
    place = TeamMembership(organization_id=ACME, team_id=PAY, user_id=ANA, expires_at=END)
    assert _text(place) == ["team:acme/pay#member@user:ana[expiration:2030-01-01T12:00:00Z]"]
    role = TeamRole(organization_id=ACME, team_id=PAY, role=RoleId("support"))
    assert _text(role) == ["organization:acme#support@team:acme/pay#member"]
    own = TeamRole(organization_id=ACME, team_id=PAY, role=TREASURER, custom=True)
    assert _text(own) == ["role:acme/treasurer#member@team:acme/pay#member"]


def test_a_resource_belongs_to_its_organization_until_it_is_removed() -> None:
    transfer = Resource(organization_id=ACME, type="transfer", id=ResourceId("t1"), creator=ANA)
    assert _text(transfer) == [
        "transfer:acme/t1#creator@user:ana",
        "transfer:acme/t1#organization@organization:acme",
    ]
    transfer.removed_at = END
    assert _text(transfer) == []


def test_a_grant_is_an_action_on_one_resource() -> None:
    grant = Grant(
        organization_id=ACME,
        type="webhook",
        resource_id=ResourceId("wh_1"),
        action="edit",
        holder_kind=HolderKind.USER,
        holder="ana",
    )
    assert _text(grant) == ["webhook:acme/wh_1#granted_edit@user:ana"]
    grant.holder_kind, grant.holder = HolderKind.TEAM, "pay"
    assert _text(grant) == ["webhook:acme/wh_1#granted_edit@team:acme/pay#member"]


ends = st.none() | st.datetimes(timezones=st.just(UTC))
organizations = st.from_regex(ORGANIZATION_PATTERN, fullmatch=True) | st.just("acme")
users = st.from_regex(LOCAL_PATTERN, fullmatch=True) | st.sampled_from(["ana", "acme"])
roles = st.from_regex(ROLE_PATTERN, fullmatch=True) | st.sampled_from(["member", "invitee"])
held = {
    "organization_id": organizations,
    "role": roles.filter(lambda role: role != "member"),  # a CHECK of the table
    "custom": st.booleans(),
    "expires_at": ends,
}
"""The columns of a role assignment."""
allowed = st.sampled_from([each.id for each in FINTOC.actions.values() if not each.reserved])
verbs = st.sampled_from(
    [(each.id, verb) for each in FINTOC.types.values() for verb in each.actions]
)

rows: st.SearchStrategy[RelationshipSource] = st.one_of(
    st.builds(Membership, organization_id=organizations, user_id=users, suspended_at=st.none()),
    st.builds(RoleAssignment, user_id=users, **held),
    st.builds(TeamRole, team_id=users, **held),
    st.builds(CustomRoleAction, organization_id=organizations, role=held["role"], action=allowed),
    st.builds(
        TeamMembership,
        organization_id=organizations,
        team_id=users,
        user_id=users,
        expires_at=ends,
    ),
    st.builds(
        Resource,
        organization_id=organizations,
        type=st.sampled_from(["webhook", "link"]),
        id=users,
    ),
    st.builds(
        lambda verb, **columns: Grant(type=verb[0], action=verb[1], **columns),
        verb=verbs,
        organization_id=organizations,
        resource_id=users,
        holder_kind=st.sampled_from(HolderKind),
        holder=users,
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
def test_only_one_table_can_produce_a_given_relationship(
    row: RelationshipSource,
) -> None:
    if isinstance(row, RoleAssignment | TeamRole) and not row.custom:
        row.role = RoleId("support")
    for relationship in row.relationships():
        makers = [
            source
            for source in RelationshipSource.tables().values()
            if source.can_represent(relationship, FINTOC)
        ]
        assert makers == [type(row)]


@pytest.mark.parametrize(
    "text",
    [
        "organization:acme#overlord@user:ana",
        "organization:acme#administrator@team:acme/pay#member",
        "organization:acme#support@team:acme2/pay#member",
        "organization:acme#member@user:ana#member",
        "organization:acme/pay#member@user:ana",
        "organization:acme#applied@ledger_position:1-0123456789ab",
        "organization:acme#granted_users_invite@role:acme/treasurer#member",
        "organization:acme#granted_links_edit@role:acme2/treasurer#member",
        "role:acme/treasurer#member@team:acme2/pay#member",
        "team:acme/pay#member@team:acme/pay#member",
        "webhook:acme/wh_1#organization@organization:acme2",
        "webhook:acme/wh_1#creator@user:ana",
        "webhook:acme/wh_1#granted_overlook@user:ana",
        "webhook:acme/wh_1#granted_edit@team:acme2/pay#member",
        "invitation:acme#invitee@email:0123[expiration:2030-01-01T12:00:00Z]",
        "invitation:acme/inv_7#invitee@email:0123",
    ],
)
def test_some_relationships_can_come_from_no_row(text: str) -> None:
    relationship = Relationship.parse(text)
    for source in RelationshipSource.tables().values():
        assert not source.can_represent(relationship, FINTOC)


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
