"""Details of events are stored exactly as the chains' hashes have them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from teamaccess.changes.events import EventDetails
from teamaccess.changes.events.members import (
    AccessRequested,
    InvitationCancelled,
    MembershipEndChanged,
    RolesChanged,
)
from teamaccess.changes.events.organizations import FindingResolved, OrganizationDeleted
from teamaccess.changes.events.record import Subject
from teamaccess.changes.events.users import Refused
from teamaccess.storage import FindingKind, RoleId

UTC_NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
MADRID = datetime(2026, 3, 31, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
SUPPORT = RoleId("support")


@pytest.mark.parametrize(
    ("details", "stored"),
    [
        (OrganizationDeleted(), {}),
        (InvitationCancelled(), {}),
        (InvitationCancelled(deleted_role=SUPPORT), {"deleted_role": "support"}),
        (AccessRequested(hours=8, role=SUPPORT), {"role": "support", "hours": 8}),
        (
            MembershipEndChanged(before=None, after=UTC_NOON),
            {"before": None, "after": "2026-03-31T12:00:00+00:00"},
        ),
        (
            RolesChanged(before=[], after=[SUPPORT], ends={SUPPORT: MADRID}),
            {
                "before": [],
                "after": ["support"],
                "ends": {"support": "2026-03-31T12:00:00.000005+02:00"},
            },
        ),
        (
            FindingResolved(found=FindingKind.DRIFT, organization="acme"),
            {"found": "drift", "organization": "acme"},
        ),
        (Refused(code="users_only"), {"code": "users_only"}),
        (Refused(code="users_only", suppressed=9), {"code": "users_only", "suppressed": 9}),
    ],
)
def test_details_are_stored_as_plain_json(details: EventDetails, stored: dict[str, object]) -> None:
    assert details.stored() == stored


def test_a_subject_is_stored_with_its_type() -> None:
    assert Subject.USER.named("usr_1") == "user:usr_1"
    assert Subject.REFERENCE.named("webhook:acme/wh_1") == "webhook:acme/wh_1"
    assert Subject.USER.named(None) is None
