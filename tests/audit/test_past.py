"""Questions about a past time: as it was decided, and as SpiceDB had it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from teamaccess.audit.questions.holders import find_holders
from teamaccess.audit.questions.matrix import matrix
from teamaccess.audit.questions.who_can import who_can
from teamaccess.audit.sources import CatalogNotInForce
from teamaccess.audit.state import sandboxes
from teamaccess.audit.state.moment import Moment
from teamaccess.audit.state.sandboxes import NoSandbox, SandboxPool, SandboxUnavailable
from teamaccess.catalog import Catalog
from teamaccess.directory.organizations.stopped import skip_stopped
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.engine import FULLY_CONSISTENT, Engine, EngineUnavailable
from teamaccess.local.sandbox import LocalSandbox
from teamaccess.local.sockets import choose_port
from teamaccess.local.stack import LocalStack
from teamaccess.relationships import organization
from tests.audit.test_why import why
from tests.changes.test_refusals import FORGED, NO_SUCH_RELATION
from tests.support.database_connections import Connection
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import Writes, behind_proxy, served_by


async def holders_at(
    organization: Organization, action: str, at: datetime, basis: str = "decided"
) -> set[str]:
    """The holders of an action, over the API."""
    about = {"action": action, "at": at.isoformat(), "basis": basis}
    answer = await organization.administrator.ask(
        "GET", f"{organization.path}/audit/who-can", params=about
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    assert (found["evidence"]["unexplained"], found["evidence"]["missing"]) == (0, 0)
    return {each["user"] for each in found["items"]}


async def now(organization: Organization) -> datetime:
    """PostgreSQL's clock."""
    return await organization.deployment.service.now()


async def test_answers_about_the_past_do_not_change_later(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    then = await now(acme)
    (await acme.change_roles(bob, "developer")).raise_for_status()
    later = await now(acme)
    (await acme.remove(bob)).raise_for_status()
    assert bob.id in await holders_at(acme, "refunds_create", then)
    assert bob.id not in await holders_at(acme, "refunds_create", later)
    assert bob.id in await holders_at(acme, "webhooks_create", later)
    assert bob.id not in await holders_at(acme, "webhooks_create", await now(acme))


async def test_why_not_is_explained_as_of_that_time(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await acme.suspend(bob)
    suspended = await now(acme)
    await acme.reactivate(bob)
    about = {"user": bob.id, "action": "refunds_create", "at": suspended.isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    found = answer.raise_for_status().json()
    assert (found["allowed"], found["obstacle"]["code"]) == (False, "no_active_member")
    assert datetime.fromisoformat(found["evidence"]["at"]) == suspended
    assert found["evidence"]["query"] == {"question": "why", **about, "basis": "decided"}
    assert (await why(acme, bob, "refunds_create"))["allowed"]


async def test_an_expiry_counts_as_future_or_past_as_of_that_time(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    end = await now(acme) + timedelta(seconds=1)
    await acme.set_role_expiry(bob, "support", end)
    assert bob.id in await holders_at(acme, "refunds_create", await now(acme))
    while await now(acme) < end + timedelta(milliseconds=50):
        pass
    assert bob.id in await holders_at(acme, "refunds_create", end - timedelta(milliseconds=1))
    assert bob.id not in await holders_at(acme, "refunds_create", end)
    about = {"user": bob.id, "action": "refunds_create", "at": end.isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    assert answer.json()["obstacle"]["code"] == "ended"
    assert answer.json()["obstacle"]["expired_at"] == end.isoformat().replace("+00:00", "Z")


async def test_a_change_decided_in_an_outage_was_not_enforced_then(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    before = await now(acme)
    async with behind_proxy(fintoc) as (second, proxy):
        proxy.writes = Writes.FAIL
        assert (await served_by(second, acme).change_roles(bob, "support")).status_code == 202
        during = await now(acme)
        assert not await acme.can(bob, "refunds_create")
        proxy.writes = Writes.ARRIVE
        (await served_by(second, acme).change_roles(bob, "support", "developer")).raise_for_status()
    after = await now(acme)
    answers = {
        (time, basis): bob.id in await holders_at(acme, "refunds_create", at, basis)
        for time, at in (("before", before), ("during", during), ("after", after))
        for basis in ("decided", "enforced")
    }
    assert answers == {
        ("before", "decided"): False,
        ("before", "enforced"): False,
        ("during", "decided"): True,
        ("during", "enforced"): False,
        ("after", "decided"): True,
        ("after", "enforced"): True,
    }


async def test_the_schema_in_force_at_that_time_answers(
    isolated: Deployment, catalog_with_cashier: Catalog, sandbox: LocalSandbox
) -> None:
    organization = await isolated.create_organization("acme")
    await organization.add_members({"bob": ["support"]})
    before = await isolated.service.now()
    await apply_schema(
        isolated.service.ledger, isolated.service.engine, catalog_with_cashier, OPERATOR
    )
    after = await isolated.service.now()
    audit = replace(isolated.service.audit.sources, sandboxes=SandboxPool(sandbox.endpoint))
    old = await matrix(await audit.of(organization.id, Moment(before)))
    new = await matrix(await audit.of(organization.id, Moment(after)))
    assert (old.evidence.catalog, new.evidence.catalog) == (
        isolated.service.catalog.version,
        catalog_with_cashier.version,
    )
    assert old.members == new.members
    with pytest.raises(CatalogNotInForce):  # the present is the other catalog's by now
        await audit.of(organization.id)


async def test_a_future_time_and_a_time_before_the_organization_are_refused(
    acme: Organization,
) -> None:
    def asked(at: str) -> Any:
        about = {"action": "refunds_create", "at": at}
        return acme.administrator.ask("GET", f"{acme.path}/audit/who-can", params=about)

    refused(await asked((datetime.now(UTC) + timedelta(days=1)).isoformat()), 400, "not_yet")
    reported = refused(await asked("2020-01-01T00:00:00Z"), 400, "before_it_began")
    assert reported["began"] > "2020"
    refused(await asked("0001-01-01T00:00:00+14:00"), 400, "out_of_calendar")
    refused(await asked("9999-12-31T23:59:59-14:00"), 400, "out_of_calendar")
    refused(await asked("yesterday"), 400, "invalid_request")


async def test_operators_can_ask_about_a_deleted_organization(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    then = await now(acme)
    (await acme.administrator.ask("DELETE", acme.path)).raise_for_status()
    operator = await acme.deployment.operator_person()
    about = {"action": "refunds_create", "at": then.isoformat()}
    answer = await operator.ask("GET", f"{acme.path}/audit/who-can", params=about)
    assert bob.id in {each["user"] for each in answer.raise_for_status().json()["items"]}
    nobody = await operator.ask("GET", "/v1/organizations/nobody/audit/who-can", params=about)
    refused(nobody, 404, "unknown_organization")


async def test_without_a_sandbox_the_question_is_refused(acme: Organization) -> None:
    audit = replace(acme.deployment.service.audit.sources, sandboxes=SandboxPool(None))
    source = await audit.of(acme.id, Moment(await now(acme)))
    with pytest.raises(NoSandbox):
        await who_can(source, "refunds_create")


async def test_a_lookup_fails_if_the_engine_does_not_answer(acme: Organization) -> None:
    async with Engine(f"127.0.0.1:{choose_port(0, 'nobody', '')}", "nobody") as engine:
        with pytest.raises(EngineUnavailable):
            await find_holders(engine, FULLY_CONSISTENT, [(organization(acme.id), "membership")])


async def test_an_unavailable_sandbox_has_its_own_error(acme: Organization) -> None:
    audit = replace(acme.deployment.service.audit.sources, sandboxes=SandboxPool("127.0.0.1:1"))
    source = await audit.of(acme.id, Moment(await now(acme)))
    with pytest.raises(SandboxUnavailable):
        await who_can(source, "refunds_create")


async def test_a_question_about_this_moment_waits_for_changes_in_progress(
    acme: Organization,
) -> None:
    about = {"action": "refunds_create", "at": (await now(acme)).isoformat()}
    async with acme.deployment.operator(acme.id):
        answer = await acme.administrator.ask("GET", f"{acme.path}/audit/who-can", params=about)
    refused(answer, 503, "organization_busy")


async def test_an_entry_that_spicedb_refused_does_not_affect_later_answers(
    acme: Organization, application_connection: Connection
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await application_connection.execute(FORGED, acme.id, NO_SUCH_RELATION.format(acme.id))
    assert (await acme.reactivate(bob)).status_code == 503
    assert bob.id in await holders_at(acme, "refunds_create", await now(acme))
    async with acme.deployment.operator(acme.id, even_if_stopped=True) as change:
        await skip_stopped(acme.deployment.service.ledger, change, acme.id, "nobody knows it")
    await acme.suspend(bob)
    for basis in ("decided", "enforced"):
        assert bob.id not in await holders_at(acme, "refunds_create", await now(acme), basis)
    wanted = {"changes": [{"change": "reactivate", "user": bob.id}]}
    answer = await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=wanted)
    assert [each["user"] for each in answer.raise_for_status().json()["items"]] == [bob.id]


async def test_an_organization_too_large_for_a_sandbox_is_refused(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    await acme.add_members({"bob": ["support"]})
    monkeypatch.setattr(sandboxes, "MOST_RELATIONSHIPS", 3)
    about = {"action": "refunds_create", "at": (await now(acme)).isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/who-can", params=about)
    assert refused(answer, 409, "too_large_for_sandbox")["relationships"] == 4


async def test_a_restarted_sandbox_server_is_filled_again(
    acme: Organization, stack: LocalStack
) -> None:
    server = stack.start_sandbox()
    own = SandboxPool(server.endpoint)
    audit = replace(acme.deployment.service.audit.sources, sandboxes=own)
    moment = Moment(await now(acme))
    first = await who_can(await audit.of(acme.id, moment), "refunds_create")
    server.restart()
    second = await who_can(await audit.of(acme.id, moment), "refunds_create")
    await own.close()
    assert [each.person.user for each in second.holders] == [
        each.person.user for each in first.holders
    ]


async def test_a_process_keeps_a_few_sandboxes_and_reuses_them(
    acme: Organization,
) -> None:
    own = SandboxPool(acme.deployment.settings.sandbox_endpoint)
    audit = replace(acme.deployment.service.audit.sources, sandboxes=own)
    bob = (await acme.add_members({"bob": []}))["bob"]
    for step in range(sandboxes.MOST_KEPT + 2):
        (await acme.change_roles(bob, "support" if step % 2 else "product")).raise_for_status()
        await acme.set_role_expiry(bob, "support" if step % 2 else "product", later(step))
        moment = Moment(await now(acme))
        await who_can(await audit.of(acme.id, moment), "refunds_create")
        await matrix(await audit.of(acme.id, moment))
    assert len(own._kept) == sandboxes.MOST_KEPT
    await own.close()


def later(days: int) -> datetime:
    """A time that many days ahead, so that each number gives another one."""
    return datetime.now(UTC) + timedelta(days=days + 1)


async def test_a_long_answer_is_streamed_and_marked_as_complete(
    acme: Organization,
) -> None:
    await acme.member("bob", ["support"])
    await acme.add_members({"eve": ["support"]})
    answer = await acme.administrator.ask(
        "GET",
        f"{acme.path}/audit/who-can",
        params={"action": "refunds_create"},
        headers={"Accept": "application/x-ndjson"},
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0]["evidence"]["rows"] == 3
    assert lines[-1] == {"end": {"rows": 3}}
    assert len([line for line in lines if "item" in line]) == 3
    positions = {line["change"]["position"] for line in lines if "change" in line}
    people = {line["person"]["user"] for line in lines if "person" in line}
    assert acme.administrator.id in people
    [path] = lines[-2]["item"]["paths"]
    assert path["position"] in positions
