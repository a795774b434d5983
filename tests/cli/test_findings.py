"""`teamaccess findings`: foreign writes, and how an operator resolves them."""

import json
import re
from typing import Any

import pytest
from sqlalchemy import select

from teamaccess.storage import Event, Finding, FindingKind, Reason
from teamaccess.upkeep.findings import record_finding
from tests.support.command_line import Run
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import without_proofs
from tests.upkeep.reconciliation.drift import add_to_spicedb, compare_one, delete_from_spicedb

WHY = "ticket 4711: the key of the old importer, revoked"


async def record_foreign_write(deployment: Deployment, about: str, **more: Any) -> int:
    """Record a foreign write, as the watcher does. Returns the finding's number."""
    forged = f"TOUCH organization:{about}#administrator@user:eve"
    details = {"updates": [forged], "count": 1, "metadata": {}, "zed_token": "z", **more}
    async with deployment.service.reads() as session:
        fingerprint = await record_finding(session, FindingKind.FOREIGN_WRITE, about, details)
        id = await session.scalar(select(Finding.id).where(Finding.fingerprint == fingerprint))
    assert id is not None
    return id


async def resolved_events(deployment: Deployment, chain: str) -> list[tuple[Event, str]]:
    """The events of the finding, with their reasons."""
    async with deployment.service.reads() as session:
        reported = select(Event, Reason.text).join(Reason, Reason.hash == Event.reason_hash)
        mine = reported.where(Event.chain == chain, Event.kind == "finding_resolved")
        return [(event, text) for event, text in await session.execute(mine)]


async def test_a_foreign_write_is_open_until_an_operator_resolves_it(
    run: Run, acme: Organization
) -> None:
    id = await record_foreign_write(acme.deployment, acme.id)
    listed = await run("findings", "list", "--organization", acme.id)
    assert listed.exit_code == 0, listed.output
    assert listed.stdout.splitlines()[0].startswith(f"{id}  20")
    assert listed.stdout.splitlines()[0].endswith(f"Z  foreign write in {acme.id}")
    assert f"TOUCH organization:{acme.id}#administrator@user:eve" in listed.stdout
    assert f"Next: teamaccess findings resolve {id} --reason TEXT" in listed.stdout

    await compare_one(acme, max_deletes=10)  # the write was undone, but it did happen
    assert f"{id}  " in (await run("findings", "list")).stdout

    resolved = await run("findings", "resolve", str(id), "--reason", WHY)
    assert resolved.exit_code == 0, resolved.output
    assert f"teamaccess reconcile --organization {acme.id}" in resolved.stdout
    nothing = await run("findings", "list", "--organization", acme.id)
    assert nothing.stdout == f"There are no open findings about {acme.id}.\n"
    [(event, reason)] = await resolved_events(acme.deployment, acme.id)
    assert (event.subject, event.channel, reason) == (f"finding:{id}", "operator", WHY)
    assert without_proofs(event.details) == {"found": "foreign_write", "organization": acme.id}

    everything = await run("findings", "list", "--all", "--organization", acme.id, "--json")
    [reported] = json.loads(everything.stdout)["findings"]
    assert (reported["id"], reported["kind"], reported["resolved_by"]) == (
        id,
        "foreign_write",
        event.actor,
    )
    assert reported["resolved_at"] is not None


async def test_a_tenant_that_only_spicedb_knows_is_a_platform_event(
    run: Run, acme: Organization
) -> None:
    ghost = f"ghost-{acme.id}"
    ids = [await record_foreign_write(acme.deployment, about) for about in (acme.id, ghost)]
    resolved = await run("findings", "resolve", *map(str, ids), "--reason", WHY, "--json")
    reported = json.loads(resolved.stdout)["resolved"]
    assert [(each["id"], each["organization"]) for each in reported] == [
        (ids[0], acme.id),
        (ids[1], ghost),
    ]
    assert len(await resolved_events(acme.deployment, acme.id)) == 1
    platform = await resolved_events(acme.deployment, Event.PLATFORM)
    assert [
        without_proofs(event.details)
        for event, _ in platform
        if event.subject == f"finding:{ids[1]}"
    ] == [{"found": "foreign_write", "organization": ghost}]


async def test_findings_are_resolved_together_or_not_at_all(run: Run, acme: Organization) -> None:
    id = await record_foreign_write(acme.deployment, acme.id)
    refused = await run("findings", "resolve", str(id), "999999999", "--reason", WHY)
    assert refused.exit_code == 2
    assert "There is no finding 999999999" in refused.stderr
    assert f"{id}  " in (await run("findings", "list")).stdout
    assert (await run("findings", "resolve", str(id), str(id), "--reason", WHY)).exit_code == 0
    again = await run("findings", "resolve", str(id), "--reason", WHY)
    assert again.exit_code == 2
    assert f"The finding {id} was already resolved by operator:" in again.stderr


@pytest.mark.parametrize("id", ["0", "-1", str(2**63), "seven"])
async def test_an_invalid_finding_number_is_refused(run: Run, id: str) -> None:
    refused = await run("findings", "resolve", "--reason", WHY, "--", id)
    assert refused.exit_code == 2
    assert "PostgreSQL" not in refused.stderr


async def test_a_finding_about_a_state_closes_only_when_the_state_ends(
    run: Run, acme: Organization
) -> None:
    strange = f"organization:{acme.id}#support@user:nobody"
    await add_to_spicedb(acme.deployment, strange)
    await compare_one(acme)
    listed = await run("findings", "list", "--organization", acme.id)
    assert "1 extra" in listed.stdout
    assert f"Next: teamaccess reconcile --organization {acme.id} --apply" in listed.stdout
    id = listed.stdout.split()[0]
    refused = await run("findings", "resolve", id, "--reason", WHY)
    assert refused.exit_code == 2
    assert f"The finding {id} (drift) closes when its cause is gone." in refused.stderr
    await delete_from_spicedb(acme.deployment, strange)
    await compare_one(acme)
    reported = await run("findings", "list", "--all", "--organization", acme.id)
    assert "by a later comparison" in reported.stdout


async def test_a_foreign_write_cannot_send_escape_sequences_to_the_terminal(
    run: Run, acme: Organization
) -> None:
    metadata = {"note": "\x1b[2J\u202eall is well", "more": "\u009b2J"}
    updates = [f"TOUCH organization:{acme.id}#product@user:u{number}" for number in range(100)]
    await record_foreign_write(
        acme.deployment, acme.id, metadata=metadata, updates=updates, count=140
    )
    reported = (await run("findings", "list", "--organization", acme.id)).stdout
    assert reported.isascii()
    assert "\x1b" not in reported
    assert "and 130 more" in reported


async def test_status_and_metrics_report_findings_by_kind_with_the_next_step(
    run: Run, acme: Organization
) -> None:
    before = await _open_findings(acme.deployment)
    id = await record_foreign_write(acme.deployment, acme.id)
    after = await _open_findings(acme.deployment)
    assert set(FindingKind) <= set(after)
    assert after == {**before, "foreign_write": before["foreign_write"] + 1}
    status = await run("ledger", "status")
    assert status.exit_code == 1
    assert re.search(r"^\d+ foreign writes? in .+: teamaccess findings list$", status.stdout, re.M)
    facts = json.loads((await run("ledger", "status", "--json")).stdout)
    [found] = [each for each in facts["findings"] if each["kind"] == "foreign_write"]
    assert acme.id in found["organizations"]
    assert found["concerned"] >= len(found["organizations"])
    assert facts["open_findings"] == sum(each["count"] for each in facts["findings"])
    await run("findings", "resolve", str(id), "--reason", WHY)
    assert await _open_findings(acme.deployment) == before


async def _open_findings(deployment: Deployment) -> dict[str, float]:
    operator = await deployment.operator_person()  # an operator's reading is a fresh one
    metrics = (await operator.ask("GET", "/metrics")).text
    reported = re.findall(
        r'^teamaccess_findings_open\{kind="(\w+)"\} (\S+)$', metrics, re.MULTILINE
    )
    return {kind: float(count) for kind, count in reported}
