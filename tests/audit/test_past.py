"""What was so at a time: as it was decided, and as SpiceDB had it."""

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
from teamaccess.directory.organizations.stopped import skip
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.engine import FULLY_CONSISTENT, Engine, EngineUnavailable
from teamaccess.local.sandbox import LocalSandbox
from teamaccess.local.sockets import choose_port
from teamaccess.local.stack import LocalStack
from teamaccess.relationships import organization
from tests.audit.test_why import why
from tests.changes.test_refusals import FORGED, NO_SUCH_RELATION
from tests.directory.schemas.conftest import grown
from tests.support.connections import Connection, application, owner
from tests.support.spicedb_proxy import Writes, linked, through
from tests.support.steps import end_role, enlist, refused
from tests.support.world import OPERATOR, Team, World
from tests.upkeep.reconciliation.conftest import apart, ground

__all__ = ["apart", "application", "ground", "grown", "owner"]


async def who(team: Team, action: str, at: datetime, basis: str = "decided") -> set[str]:
    """Who could, by the API."""
    about = {"action": action, "at": at.isoformat(), "basis": basis}
    answer = await team.administrator.ask("GET", f"{team.path}/audit/who-can", params=about)
    found: dict[str, Any] = answer.raise_for_status().json()
    assert (found["evidence"]["unexplained"], found["evidence"]["missing"]) == (0, 0)
    return {each["user"] for each in found["items"]}


async def now(team: Team) -> datetime:
    """PostgreSQL's clock."""
    return await team.world.service.now()


async def test_what_was_stays_so_whatever_happens_later(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    then = await now(acme)
    (await acme.change_roles(bob, "developer")).raise_for_status()
    later = await now(acme)
    (await acme.act("remove", bob)).raise_for_status()
    assert bob.id in await who(acme, "refunds_create", then)
    assert bob.id not in await who(acme, "refunds_create", later)
    assert bob.id in await who(acme, "webhooks_create", later)
    assert bob.id not in await who(acme, "webhooks_create", await now(acme))


async def test_why_not_is_told_as_of_then(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    await acme.act("suspend", bob)
    suspended = await now(acme)
    await acme.act("reactivate", bob)
    about = {"user": bob.id, "action": "refunds_create", "at": suspended.isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    found = answer.raise_for_status().json()
    assert (found["allowed"], found["obstacle"]["code"]) == (False, "no_active_member")
    assert datetime.fromisoformat(found["evidence"]["at"]) == suspended
    assert found["evidence"]["query"] == {"question": "why", **about, "basis": "decided"}
    assert (await why(acme, bob, "refunds_create"))["allowed"]


async def test_an_end_that_was_ahead_is_ahead_and_one_that_was_past_is_past(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    end = await now(acme) + timedelta(seconds=1)
    await end_role(acme, bob, "support", end)
    assert bob.id in await who(acme, "refunds_create", await now(acme))
    while await now(acme) < end + timedelta(milliseconds=50):
        pass
    assert bob.id in await who(acme, "refunds_create", end - timedelta(milliseconds=1))
    assert bob.id not in await who(acme, "refunds_create", end)
    about = {"user": bob.id, "action": "refunds_create", "at": end.isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    assert answer.json()["obstacle"]["code"] == "ended"
    assert answer.json()["obstacle"]["expired_at"] == end.isoformat().replace("+00:00", "Z")


async def test_what_was_decided_in_an_outage_was_not_enforced_then(
    acme: Team, fintoc: World
) -> None:
    bob = await acme.member("bob", roles=["product"])
    before = await now(acme)
    async with linked(fintoc) as (second, link):
        link.writes = Writes.FAIL
        assert (await through(second, acme).change_roles(bob, "support")).status_code == 202
        during = await now(acme)
        assert not await acme.can(bob, "refunds_create")
        link.writes = Writes.ARRIVE
        (await through(second, acme).change_roles(bob, "support", "developer")).raise_for_status()
    after = await now(acme)
    answers = {
        (time, basis): bob.id in await who(acme, "refunds_create", at, basis)
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


async def test_the_schema_that_was_in_force_answers(
    apart: World, grown: Catalog, sandbox: LocalSandbox
) -> None:
    team = await apart.create("acme")
    await enlist(team, {"bob": ["support"]})
    before = await apart.service.now()
    await apply_schema(apart.service.ledger, apart.service.engine, grown, OPERATOR)
    after = await apart.service.now()
    audit = replace(apart.service.audit.sources, sandboxes=SandboxPool(sandbox.endpoint))
    old = await matrix(await audit.of(team.id, Moment(before)))
    new = await matrix(await audit.of(team.id, Moment(after)))
    assert (old.evidence.catalog, new.evidence.catalog) == (
        apart.service.catalog.version,
        grown.version,
    )
    assert old.members == new.members
    with pytest.raises(CatalogNotInForce):  # the present is the other catalog's by now
        await audit.of(team.id)


async def test_what_has_not_come_or_not_begun_is_refused(acme: Team) -> None:
    def asked(at: str) -> Any:
        about = {"action": "refunds_create", "at": at}
        return acme.administrator.ask("GET", f"{acme.path}/audit/who-can", params=about)

    refused(await asked((datetime.now(UTC) + timedelta(days=1)).isoformat()), 400, "not_yet")
    told = refused(await asked("2020-01-01T00:00:00Z"), 400, "before_it_began")
    assert told["began"] > "2020"
    refused(await asked("0001-01-01T00:00:00+14:00"), 400, "out_of_calendar")
    refused(await asked("9999-12-31T23:59:59-14:00"), 400, "out_of_calendar")
    refused(await asked("2026-01-01T00:00:00"), 400, "time_without_zone")
    refused(await asked("yesterday"), 400, "invalid_request")


async def test_an_ended_organization_is_answered_for_to_operators(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    then = await now(acme)
    (await acme.administrator.ask("DELETE", acme.path)).raise_for_status()
    operator = await acme.world.signed_in_operator()
    about = {"action": "refunds_create", "at": then.isoformat()}
    answer = await operator.ask("GET", f"{acme.path}/audit/who-can", params=about)
    assert bob.id in {each["user"] for each in answer.raise_for_status().json()["items"]}
    nobody = await operator.ask("GET", "/v1/organizations/nobody/audit/who-can", params=about)
    refused(nobody, 404, "unknown_organization")


async def test_without_a_sandbox_it_says_so(acme: Team) -> None:
    audit = replace(acme.world.service.audit.sources, sandboxes=SandboxPool(None))
    source = await audit.of(acme.id, Moment(await now(acme)))
    with pytest.raises(NoSandbox):
        await who_can(source, "refunds_create")


async def test_an_engine_that_does_not_answer_has_no_holders(acme: Team) -> None:
    async with Engine(f"127.0.0.1:{choose_port(0, 'nobody', '')}", "nobody") as engine:
        with pytest.raises(EngineUnavailable):
            await find_holders(engine, FULLY_CONSISTENT, [(organization(acme.id), "membership")])


async def test_a_sandbox_that_does_not_answer_is_told_from_spicedb(acme: Team) -> None:
    audit = replace(acme.world.service.audit.sources, sandboxes=SandboxPool("127.0.0.1:1"))
    source = await audit.of(acme.id, Moment(await now(acme)))
    with pytest.raises(SandboxUnavailable):
        await who_can(source, "refunds_create")


async def test_while_a_change_is_decided_nobody_knows_what_was_so_just_now(acme: Team) -> None:
    about = {"action": "refunds_create", "at": (await now(acme)).isoformat()}
    async with acme.world.operator(acme.id):
        answer = await acme.administrator.ask("GET", f"{acme.path}/audit/who-can", params=about)
    refused(answer, 503, "organization_busy")


@pytest.mark.parametrize("forged", [NO_SUCH_RELATION, "TOUCH everything TO {}"])
async def test_what_spicedb_would_not_take_spoils_no_later_answer(
    acme: Team, application: Connection, forged: str
) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    await application.execute(FORGED, acme.id, forged.format(acme.id))
    assert (await acme.act("reactivate", bob)).status_code == 503
    assert bob.id in await who(acme, "refunds_create", await now(acme))
    async with acme.world.operator(acme.id, even_if_stopped=True) as change:
        await skip(acme.world.service.ledger, change, acme.id, "nobody knows it")
    await acme.act("suspend", bob)
    for basis in ("decided", "enforced"):
        assert bob.id not in await who(acme, "refunds_create", await now(acme), basis)
    wanted = {"changes": [{"change": "reactivate", "user": bob.id}]}
    answer = await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=wanted)
    assert [each["user"] for each in answer.raise_for_status().json()["items"]] == [bob.id]


async def test_what_is_too_large_for_a_sandbox_is_refused(
    acme: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enlist(acme, {"bob": ["support"]})
    monkeypatch.setattr(sandboxes, "MOST_RELATIONSHIPS", 3)
    about = {"action": "refunds_create", "at": (await now(acme)).isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/who-can", params=about)
    assert refused(answer, 409, "too_large_for_sandbox")["relationships"] == 4


async def test_a_server_that_began_anew_is_told_again(acme: Team, stack: LocalStack) -> None:
    server = stack.start_sandbox()
    own = SandboxPool(server.endpoint)
    audit = replace(acme.world.service.audit.sources, sandboxes=own)
    moment = Moment(await now(acme))
    first = await who_can(await audit.of(acme.id, moment), "refunds_create")
    server.begin_anew()
    second = await who_can(await audit.of(acme.id, moment), "refunds_create")
    await own.close()
    assert [each.person.user for each in second.holders] == [
        each.person.user for each in first.holders
    ]


async def test_a_process_keeps_a_few_sandboxes_and_asks_the_same_one_again(acme: Team) -> None:
    own = SandboxPool(acme.world.settings.sandbox_endpoint)
    audit = replace(acme.world.service.audit.sources, sandboxes=own)
    bob = (await enlist(acme, {"bob": []}))["bob"]
    for step in range(sandboxes.MOST_KEPT + 2):
        (await acme.change_roles(bob, "support" if step % 2 else "product")).raise_for_status()
        await end_role(acme, bob, "support" if step % 2 else "product", later(step))
        moment = Moment(await now(acme))
        await who_can(await audit.of(acme.id, moment), "refunds_create")
        await matrix(await audit.of(acme.id, moment))
    assert len(own._kept) == sandboxes.MOST_KEPT
    await own.close()


def later(days: int) -> datetime:
    """A time ahead, another one for each number."""
    return datetime.now(UTC) + timedelta(days=days + 1)


async def test_a_long_answer_comes_line_by_line_and_says_when_it_is_whole(acme: Team) -> None:
    await acme.member("bob", ["support"])
    await enlist(acme, {"eve": ["support"]})
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
