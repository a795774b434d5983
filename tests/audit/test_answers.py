"""What every answer to an auditor contains, and which callers get one."""

import csv
import io
import json
import secrets
from collections.abc import Awaitable

import httpx
from authzed.api.v1 import (
    ObjectReference,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
    WriteRelationshipsRequest,
)

from teamaccess.directory.organizations.create import create_organization
from teamaccess.storage import OrganizationId, User
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused


async def test_csv_opens_in_a_spreadsheet_and_runs_nothing(acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    async with acme.deployment.operator(acme.id) as change:
        (await change.session.get_one(User, bob.id)).name = "=1+1"
    asked = {"headers": {"Accept": "text/csv"}, "params": {"action": "refunds_create"}}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/who-can", **asked)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = {
        row["user"]: row for row in csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    }
    assert json.loads(answer.headers["Teamaccess-Evidence"])["rows"] == len(rows)
    assert rows[bob.id]["name"] == "'=1+1"
    assert rows[bob.id]["role"] == "support"
    assert rows[bob.id]["granted_by"] == f"{bob.email} invited by {acme.administrator.email}"


async def test_the_matrix_as_csv_has_a_column_for_each_action(acme: Organization) -> None:
    await acme.add_members({"bob": ["support"]})
    headers = {"Accept": "text/csv"}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/matrix", headers=headers)
    rows = {
        row["user"]: row for row in csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    }
    assert rows[acme.people["bob"].id]["refunds_create"] == "yes"
    assert rows[acme.people["bob"].id]["webhooks_create"] == ""
    assert rows[acme.administrator.id]["webhooks_create"] == "yes"


async def test_the_evidence_names_the_newest_position_and_its_hash(acme: Organization) -> None:
    positions = len(await acme.ledger())
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/matrix")
    evidence = answer.json()["evidence"]
    assert (evidence["position"], evidence["organization"]) == (positions, acme.id)
    assert evidence["catalog"] == acme.deployment.service.catalog.version
    assert len(bytes.fromhex(evidence["hash"])) == 32


async def test_a_write_outside_the_ledger_is_unexplained(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    key = acme.deployment.settings.spicedb_preshared_key.get_secret_value()
    update = RelationshipUpdate(
        operation=RelationshipUpdate.OPERATION_TOUCH,
        relationship=Relationship(
            resource=ObjectReference(object_type="organization", object_id=acme.id),
            relation="support",
            subject=SubjectReference(object=ObjectReference(object_type="user", object_id=bob.id)),
        ),
    )
    await acme.deployment.engine.WriteRelationships(
        WriteRelationshipsRequest(updates=[update]),
        metadata=(("authorization", f"Bearer {key}"),),
    )
    asked = {"params": {"action": "refunds_create"}}
    answer = (await acme.administrator.ask("GET", f"{acme.path}/audit/who-can", **asked)).json()
    assert answer["evidence"]["unexplained"] == 1
    [row] = [each for each in answer["items"] if each["user"] == bob.id]
    assert row["paths"] == []


async def test_an_auditor_asks_everything_and_changes_nothing(acme: Organization) -> None:
    body = {"id": "auditor", "name": "Auditor", "actions": ["audit_view"]}
    await acme.administrator.ask("POST", f"{acme.path}/roles", json=body)
    eve = await acme.member("eve", ["auditor"])
    for question in ("matrix", "who-can?action=refunds_create", f"what-can?user={eve.id}"):
        assert (await eve.ask("GET", f"{acme.path}/audit/{question}")).status_code == 200
    refused(await acme.suspend(eve, by=eve), 403, "missing_permission")


async def test_an_unknown_action_is_refused_with_the_known_ones(acme: Organization) -> None:
    asked = {"params": {"action": "refund"}}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/who-can", **asked)
    assert "refunds_create" in refused(answer, 400, "unknown_action")["actions"]


async def test_a_misspelled_name_is_refused(acme: Organization) -> None:
    def asked(question: str, **about: str) -> Awaitable[httpx.Response]:
        return acme.administrator.ask("GET", f"{acme.path}/audit/{question}", params=about)

    refused(await asked("what-can", user="Ana Diaz\n"), 400, "no_user_id")
    refused(await asked("what-can", user="nobody@example.com"), 404, "unknown_user")
    refused(await asked("what-can", user="usr_nobody"), 404, "unknown_user")
    about = {"action": "edit", "resource": "webhook:wh_99"}
    refused(await asked("who-can", **about), 404, "not_registered")


async def test_an_organization_without_any_change_has_no_holders(fintoc: Deployment) -> None:
    id = OrganizationId(f"empty-{secrets.token_hex(4)}")
    async with fintoc.operator() as change:
        await create_organization(change, id, "Empty", founder=None)
    operator, path = await fintoc.operator_person(), f"/v1/organizations/{id}/audit"
    answer = (await operator.ask("GET", f"{path}/matrix")).raise_for_status().json()
    assert (answer["items"], answer["evidence"]["position"]) == ([], 0)
    at = {"at": (await fintoc.service.now()).isoformat()}
    refused(await operator.ask("GET", f"{path}/matrix", params=at), 400, "before_it_began")
