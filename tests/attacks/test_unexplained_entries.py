"""Mallory, with the application's database password, forges ledger entries together with events.

An event explains only the updates that it describes.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.attacks.test_stolen_database_password import EVENT
from tests.support.agreement import ledger_entries
from tests.support.database_connections import Connection, run_transaction
from tests.support.intruder import Intruder
from tests.support.organization import Organization

ENTRY = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ('{}', ARRAY[{}], 'user:mallory', 'api', 'forged', 'none')
"""
MARCH = datetime(2027, 3, 1, tzinfo=UTC)
ADMINISTRATOR = "TOUCH organization:{org}#administrator@user:eve"
UNTIL_MARCH = "[expiration:2027-03-01T00:00:00Z]"

FORGED = {
    "another event": (ADMINISTRATOR, "team_renamed", "team:pay", {"name": "Pay"}),
    "a sign-in": (ADMINISTRATOR, "signed_in", "user:eve", {"by": "invitation"}),
    "another member": (
        ADMINISTRATOR,
        "roles_changed",
        "user:bob",
        {"before": [], "after": ["administrator"], "ends": {}},
    ),
    "another role": (
        ADMINISTRATOR,
        "roles_changed",
        "user:eve",
        {"before": [], "after": ["support"], "ends": {}},
    ),
    "a role without its end": (
        "TOUCH organization:{org}#support@user:eve",
        "roles_changed",
        "user:eve",
        {"before": [], "after": ["support"], "ends": {"support": MARCH.isoformat()}},
    ),
    "a role with another end": (
        "TOUCH organization:{org}#support@user:eve" + UNTIL_MARCH,
        "roles_changed",
        "user:eve",
        {
            "before": [],
            "after": ["support"],
            "ends": {"support": (MARCH - timedelta(days=1)).isoformat()},
        },
    ),
    "a role in addition": (
        "TOUCH organization:{org}#support@user:eve', '" + ADMINISTRATOR,
        "roles_changed",
        "user:eve",
        {"before": [], "after": ["support"], "ends": {}},
    ),
    "a gift by a removal": (ADMINISTRATOR, "member_removed", "user:eve", {"roles": []}),
    "a removal by a gift": (
        "DELETE organization:{org}#member@user:eve",
        "member_reactivated",
        "user:eve",
        {},
    ),
    "another team": (
        "TOUCH team:{org}/pay#member@user:eve",
        "team_member_added",
        "user:eve",
        {"team": "lunch", "expires_at": None},
    ),
    "another object": (
        "TOUCH webhook:{org}/w2#granted_edit@user:eve",
        "grants_changed",
        "webhook:{org}/w1",
        {"before": [], "after": ["edit user:eve"]},
    ),
    "another action": (
        "TOUCH webhook:{org}/w1#granted_edit@user:eve",
        "grants_changed",
        "webhook:{org}/w1",
        {"before": [], "after": ["view user:eve"]},
    ),
    "another creator": (
        "TOUCH transfer:{org}/t1#creator@user:bob",
        "resource_registered",
        "transfer:{org}/t1",
        {"creator": "eve"},
    ),
    "an action beyond a custom role": (
        "TOUCH organization:{org}#granted_refunds_create@role:{org}/helper#member",
        "role_created",
        "role:helper",
        {"actions": ["payments_read"]},
    ),
    "more members than imported": (
        "TOUCH organization:{org}#member@user:eve', 'TOUCH organization:{org}#member@user:bob",
        "members_imported",
        "organization:{org}",
        {"members": 1},
    ),
    "a role of an existing member by an import": (
        ADMINISTRATOR,
        "members_imported",
        "organization:{org}",
        {"members": 1},
    ),
    "a repair that gives": (
        ADMINISTRATOR,
        "drift_mended",
        "organization:{org}",
        {"purged": 0, "restored": 1},
    ),
    "a founder who did not found": (
        ADMINISTRATOR,
        "organization_created",
        "organization:{org}",
        {},
    ),
    "an invitation of somebody else": (
        ADMINISTRATOR,
        "invitation_accepted",
        "invitation:inv_1",
        {"user": "bob", "roles": ["administrator"], "invited_by": "ana"},
    ),
    "a longer approval": (
        "TOUCH organization:{org}#support@user:eve",
        "access_approved",
        "access_request:req_1",
        {"user": "eve", "role": "support", "until": MARCH.isoformat()},
    ),
    "more holders than a deleted role had": (
        ADMINISTRATOR,
        "role_deleted",
        "role:invented",
        {"actions": [], "instead": "administrator", "members": 0, "teams": 0},
    ),
    "more than was restored": (
        ADMINISTRATOR.replace("TOUCH", "RESTORE"),
        "drift_mended",
        "organization:{org}",
        {"purged": 0, "restored": 0},
    ),
    "more than was purged": (
        "PURGE organization:{org}#member@user:eve",
        "drift_mended",
        "organization:{org}",
        {"purged": 0, "restored": 5},
    ),
    "the deletion of a living organization": (
        "DELETE organization:{org}#member@user:eve",
        "organization_deleted",
        "organization:{org}",
        {},
    ),
    "a creator without a registration": (
        "TOUCH transfer:{org}/t1#creator@user:eve",
        "resources_changed",
        "organization:{org}",
        {"registered": 0, "removed": 0},
    ),
    "a creator who is gone without a removal": (
        "DELETE transfer:{org}/t1#creator@user:eve",
        "resources_changed",
        "organization:{org}",
        {"registered": 1, "removed": 0},
    ),
    "a grant that is gone without a removal": (
        "DELETE webhook:{org}/w1#granted_edit@user:eve",
        "resources_changed",
        "organization:{org}",
        {"registered": 0, "removed": 0},
    ),
    "a truth value as a count": (
        "TOUCH organization:{org}#member@user:eve",
        "members_imported",
        "organization:{org}",
        {"members": True},
    ),
    "an end that is not a time": (
        "TOUCH organization:{org}#support@user:eve",
        "roles_changed",
        "user:eve",
        {"before": [], "after": ["support"], "ends": {"support": "never"}},
    ),
    "an update whose end is not a time": (
        "TOUCH organization:{org}#support@user:eve[expiration:never]",
        "roles_changed",
        "user:eve",
        {"before": [], "after": ["support"], "ends": {}},
    ),
    "an approval without an end": (
        "TOUCH organization:{org}#support@user:eve",
        "access_approved",
        "access_request:req_1",
        {"user": "eve", "role": "support"},
    ),
    "a service account with more": (
        ADMINISTRATOR,
        "service_account_created",
        "user:eve",
        {"roles": ["support"], "ends": {}},
    ),
}


@pytest.mark.parametrize("case", FORGED)
async def test_an_event_explains_only_what_it_describes(
    acme: Organization, application_connection: Connection, intruder: Intruder, case: str
) -> None:
    updates, kind, subject, details = FORGED[case]
    recorded = EVENT.format(acme.id, kind, subject.format(org=acme.id), json.dumps(details))
    entry = ENTRY.format(acme.id, f"'{updates.format(org=acme.id)}'")
    await run_transaction(application_connection, entry, recorded)
    newest = (await ledger_entries(acme))[-1].position
    found = await intruder.all_findings(acme)
    assert {f"ledger {newest} entry_unexplained", f"ledger {newest} entry_without_event"} & {*found}


async def test_the_events_of_the_application_explain_its_entries(
    acme: Organization, intruder: Intruder
) -> None:
    """Every way to change access, so that `verify` names none of them."""
    ana = acme.administrator
    bob = await acme.member("bob", roles=["support"])
    end = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    for method, path, body in (
        ("PUT", f"members/{bob.id}/roles", {"roles": [{"role": "product", "expires_at": end}]}),
        ("POST", "roles", {"id": "helper", "name": "Helper", "actions": ["refunds_create"]}),
        ("PUT", f"members/{bob.id}/roles", {"roles": ["helper", "support"]}),
        ("POST", "teams", {"id": "pay", "name": "Pay"}),
        ("PUT", "teams/pay/roles", {"roles": [{"role": "helper", "expires_at": end}, "developer"]}),
        ("PUT", f"teams/pay/members/{bob.id}", {"expires_at": end}),
        ("PUT", "resources/webhook/w1", {}),
        (
            "PUT",
            "resources/webhook/w1/grants",
            {"grants": [{"action": "edit", "user": bob.id, "expires_at": end}]},
        ),
        ("DELETE", "resources/webhook/w1", None),
        ("PATCH", f"members/{bob.id}", {"expires_at": end}),
        ("POST", f"members/{bob.id}/suspend", {}),
        ("POST", f"members/{bob.id}/reactivate", {}),
        ("DELETE", "roles/helper?reassign=support", None),
        ("DELETE", "teams/pay", None),
        ("DELETE", f"members/{bob.id}", None),
    ):
        answer = await ana.ask(method, f"{acme.path}/{path}", json=body)
        assert answer.is_success, f"{method} {path}: {answer.text}"
    kinds = {event.kind for event in await acme.events()}
    assert len(kinds) > 10, kinds
    assert await intruder.all_findings(acme) == []
