"""A replaced or restored SpiceDB, or a restored database, is noticed and rebuilt."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from teamaccess.delivery.writer import Write, write_metadata
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.organizations.create import create_organization
from teamaccess.directory.organizations.stopped import skip_stopped
from teamaccess.engine import AlreadyThere
from teamaccess.ledger import Entry
from teamaccess.local.postgres.server import SPICEDB as SPICEDB_ROLE
from teamaccess.relationships import Relationship
from teamaccess.relationships.relationship import format_instant
from teamaccess.storage import Event, OrganizationId
from teamaccess.upkeep import Rebuilder, RebuildResult
from teamaccess.upkeep.rebuild import fill as filling
from tests.support.agreement import (
    applied_positions,
    assert_agreement,
    head_position,
    ledger_entries,
    spicedb_contents,
    spicedb_relationships,
)
from tests.support.deployment import OPERATOR, Deployment
from tests.support.isolated_deployments import IsolatedDeployments
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import served_by, wait_until
from tests.upkeep.reconciliation.drift import add_to_spicedb, compare_all, delete_from_spicedb


def rebuilder(deployment: Deployment) -> Rebuilder:
    """The rebuilder, as the command `reconcile --rebuild` makes it."""
    service = deployment.service
    return Rebuilder(service.ledger, service.engine, service.catalog, OPERATOR)


async def rebuild(deployment: Deployment) -> RebuildResult:
    """Rebuild everything that must be rebuilt, as the command does."""
    command = rebuilder(deployment)
    await command.ensure_schema()
    return await command.rebuild_all(lambda seen: None)


async def _assert_denied(organization: Organization, code: str = "other_history") -> None:
    """Assert that reads and changes of the organization are refused."""

    async def unseen() -> bool:
        """Whether a read is refused. SpiceDB may answer from an older revision for half a second."""
        looked = await organization.administrator.ask("GET", f"{organization.path}/members")
        return (looked.status_code, looked.json().get("code")) == (503, code)

    await wait_until(unseen)
    await _assert_changes_refused(organization, code)


async def _assert_changes_refused(organization: Organization, code: str = "other_history") -> None:
    """Assert that changes of the organization are refused."""
    before = await organization.ledger()
    refused(await organization.invite("eve", ["product"]), 503, code)
    named = await organization.administrator.ask(
        "PATCH", organization.path, json={"name": "Another"}
    )
    refused(named, 503, code)
    assert await organization.ledger() == before


async def _assert_rebuilt(organization: Organization) -> None:
    await assert_agreement(organization)
    ledger = await ledger_entries(organization)
    assert head_position(await spicedb_contents(organization)) == {
        entry.position: entry.hash.hex()[:12] for entry in ledger[-1:]
    }
    assert await applied_positions(organization) == {
        entry.position: entry.hash.hex()[:12] for entry in ledger
    }
    assert (await organization.invite("late", ["product"])).status_code == 201
    await assert_agreement(organization)


async def test_an_empty_spicedb_is_filled_from_the_rows(
    isolated_deployments: IsolatedDeployments,
) -> None:
    database, (_, first) = (
        await isolated_deployments.database(),
        await isolated_deployments.spicedb(),
    )
    async with isolated_deployments.deployment(database, first) as deployment:
        await deployment.apply_schema()
        acme, globex, ended = [
            await deployment.create_organization(name) for name in ("acme", "globex", "ended")
        ]
        bob = await acme.member("bob", ["support"])
        await globex.invite("eve", ["product"])
        await ended.administrator.ask("DELETE", ended.path)
        before = {
            organization.id: await assert_agreement(organization) for organization in (acme, globex)
        }
    await isolated_deployments.stop(first)
    _, second = await isolated_deployments.spicedb()
    async with isolated_deployments.deployment(database, second) as deployment:
        acme, globex, ended = [
            served_by(deployment, organization) for organization in (acme, globex, ended)
        ]
        await _assert_denied(acme, "engine_unavailable")
        await deployment.apply_schema()
        await _assert_denied(acme)
        found = await compare_all(deployment)
        assert {each.problem for each in found.values()} == {"other_history"}

        done = await rebuild(deployment)

        assert sorted(done.organizations) == sorted([acme.id, globex.id, ended.id])
        for organization in (acme, globex):
            assert await assert_agreement(organization) == before[organization.id]
            await _assert_rebuilt(organization)
        assert await acme.can(bob, "refunds_create")
        assert await spicedb_relationships(ended) == set()
        assert (await acme.events())[-2].kind == "engine_rebuilt"
        assert await compare_all(deployment) == {}
        assert (await rebuild(deployment)).organizations == []
    await isolated_deployments.stop(second)


async def test_a_spicedb_restored_from_an_older_backup_is_brought_up_to_the_rows(
    isolated_deployments: IsolatedDeployments,
) -> None:
    database, (graph_now, first) = (
        await isolated_deployments.database(),
        await isolated_deployments.spicedb(),
    )
    async with isolated_deployments.deployment(database, first) as deployment:
        await deployment.apply_schema()
        acme, idle = (
            await deployment.create_organization("acme"),
            await deployment.create_organization("idle"),
        )
        people = await acme.add_members({"bob": ["support"], "eve": ["product"]})
    await isolated_deployments.stop(first)
    older = await isolated_deployments.copy(graph_now, SPICEDB_ROLE)
    _, again = await isolated_deployments.spicedb(graph_now)
    async with isolated_deployments.deployment(database, again) as deployment:
        acme, idle = served_by(deployment, acme), served_by(deployment, idle)
        late = await deployment.create_organization("late")
        assert (await acme.remove(people["bob"])).status_code == 204
        assert (await acme.change_roles(people["eve"], "developer")).status_code == 200
    await isolated_deployments.stop(again)
    _, restored = await isolated_deployments.spicedb(older)
    async with isolated_deployments.deployment(database, restored) as deployment:
        acme, idle, late = [
            served_by(deployment, organization) for organization in (acme, idle, late)
        ]
        bob = people["bob"]
        # services that ask SpiceDB get the old answers; our API refuses
        assert await acme.can(bob, "refunds_create")
        await _assert_denied(acme)
        await _assert_denied(late)
        assert (await idle.invite("zoe", ["product"])).status_code == 201
        done = await rebuild(deployment)
        assert sorted(done.organizations) == sorted([acme.id, late.id])
        assert not await acme.can(bob, "refunds_create")
        for organization in (acme, idle, late):
            await _assert_rebuilt(organization)
        assert await compare_all(deployment) == {}
    await isolated_deployments.stop(restored)


async def test_a_database_restored_from_an_older_backup_takes_precedence(
    isolated_deployments: IsolatedDeployments,
) -> None:
    database, (_, spicedb) = (
        await isolated_deployments.database(),
        await isolated_deployments.spicedb(),
    )
    async with isolated_deployments.deployment(database, spicedb) as deployment:
        await deployment.apply_schema()
        acme, idle = (
            await deployment.create_organization("acme"),
            await deployment.create_organization("idle"),
        )
        [bob] = (await acme.add_members({"bob": ["support"]})).values()
        dump = await isolated_deployments.dump(database)
        assert (await acme.change_roles(bob, "developer")).status_code == 200
        late = await deployment.create_organization("late")
    older = await isolated_deployments.restore(dump)
    async with isolated_deployments.deployment(older, spicedb) as deployment:
        acme, idle = served_by(deployment, acme), served_by(deployment, idle)
        await _assert_changes_refused(acme)
        assert (await rebuild(deployment)).organizations == [acme.id]
        assert await acme.can(bob, "refunds_create")
        assert not await acme.can(bob, "webhooks_create")
        for organization in (acme, idle):
            await _assert_rebuilt(organization)
        # only SpiceDB contains what was created since
        assert list(await compare_all(deployment)) == [late.id]
        await compare_all(deployment, max_deletes=100)
        assert await compare_all(deployment) == {}
    await isolated_deployments.stop(spicedb)


async def test_a_new_organization_removes_what_another_history_left_in_spicedb(
    isolated: Deployment,
) -> None:
    acme = await isolated.create_organization("acme")
    async with isolated.operator() as change:
        await create_organization(change, f"{acme.id}-new", "New", founder=None)
    position = "ledger_position:7-0123456789ab"
    await add_to_spicedb(
        isolated,
        f"organization:{acme.id}-new#member@user:eve",
        f"organization:{acme.id}-new#administrator@user:eve",
        f"organization:{acme.id}-new#head@{position}",
    )
    [result] = (await compare_all(isolated)).values()
    assert result.problem == "other_history"
    assert (await rebuild(isolated)).organizations == [f"{acme.id}-new"]
    assert await compare_all(isolated) == {}


async def test_members_of_an_organization_lost_in_a_restore_are_not_in_the_next_one(
    isolated: Deployment,
) -> None:
    globex = await isolated.create_organization("globex")
    eve = (await globex.add_members({"eve": ["product"]}))["eve"]
    id = OrganizationId("lost-and-founded-again")
    await add_to_spicedb(
        isolated,
        f"organization:{id}#member@user:{eve.id}",
        f"organization:{id}#administrator@user:{eve.id}",
        f"organization:{id}#head@ledger_position:7-0123456789ab",
    )
    async with isolated.operator() as change:
        await create_organization(change, id, "Again", founder=None)
    offer = {"email": "mallory@example.com", "roles": ["developer"]}
    refused(
        await eve.ask("POST", f"/v1/organizations/{id}/invitations", json=offer),
        404,
        "unknown_organization",
    )
    async with isolated.operator(id) as change:
        membership = await grant_administrator(change, id, "ana@example.com", "the first")
    assert (await eve.ask("GET", f"/v1/organizations/{id}/members")).status_code != 200
    assert id in (await rebuild(isolated)).organizations
    assert not await isolated.check(id, eve.id, "membership")
    assert await isolated.check(id, membership.user_id, "users_invite")
    refused(await eve.ask("GET", f"/v1/organizations/{id}/members"), 404, "unknown_organization")


async def test_a_malformed_head_does_not_prevent_a_rebuild(
    isolated: Deployment,
) -> None:
    organization = await isolated.create_organization("acme")
    [ledger] = (await ledger_entries(organization))[-1:]
    newest_one = f"{ledger.position}-{ledger.hash.hex()[:12]}"
    await delete_from_spicedb(
        isolated, f"organization:{organization.id}#head@ledger_position:{newest_one}"
    )
    await add_to_spicedb(isolated, f"organization:{organization.id}#head@ledger_position:rubbish")
    assert (await rebuild(isolated)).organizations == [organization.id]
    await _assert_rebuilt(organization)


@pytest.mark.parametrize("way", ["import_relationships", "write"])
async def test_an_interrupted_rebuild_can_be_repeated(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    acme = await isolated.create_organization("acme")
    people = await acme.add_members({f"p{number}": ["support"] for number in range(8)})
    before, ledger = await assert_agreement(acme), await acme.ledger()
    await _delete_head(isolated, acme)
    monkeypatch.setattr(filling, "MAX_IMPORT", 3)
    with monkeypatch.context() as patch:
        at = 4 if way == "import_relationships" else 1  # by then the rest is imported
        patch.setattr(
            isolated.service.engine, way, _failing(getattr(isolated.service.engine, way), at)
        )
        with pytest.raises(ConnectionError):
            await rebuild(isolated)
    held = {str(each) for each in await spicedb_relationships(acme)}
    assert held < before if way == "import_relationships" else held == before
    await _assert_denied(acme)
    assert (await rebuild(isolated)).organizations == [acme.id]
    assert await assert_agreement(acme) == before
    assert await acme.ledger() == ledger
    assert await acme.can(people["p0"], "refunds_create")
    await _assert_rebuilt(acme)


def _failing(call: Callable[..., Awaitable[Any]], at: int) -> Callable[..., Awaitable[Any]]:
    """Return a function that forwards to `call`, and fails at the given number of calls."""
    calls = itertools.count(1)

    async def call_or_fail(*args: Any, **more: Any) -> Any:
        if next(calls) == at:
            raise ConnectionError("disconnected")
        return await call(*args, **more)

    return call_or_fail


@pytest.mark.parametrize(
    ("position", "before", "arrives"),
    [(3, 1, True), (3, 2, True), (3, None, False), (5, 1, True), (5, None, True)],
)
async def test_a_late_write_during_a_rebuild_leaves_nothing_behind(
    isolated: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    position: int,
    before: int | None,
    arrives: bool,
) -> None:
    """`before` numbers the import before which the write arrives; None is the rebuild's last write."""
    acme, globex = (
        await isolated.create_organization("acme"),
        await isolated.create_organization("globex"),
    )
    bob = await acme.member("bob", ["support"])
    assert (await acme.change_roles(bob, "product")).status_code == 200
    assert (await acme.remove(bob)).status_code == 204
    ledger = [Entry.of(row) for row in await ledger_entries(acme)]
    assert len(ledger) == 5
    late = ledger[position - 1]
    for organization in (acme, globex):
        await _delete_head(isolated, organization)
    engine = isolated.service.engine
    calls, import_, write, arrivals = (
        itertools.count(1),
        engine.import_relationships,
        engine.write,
        list[bool](),
    )

    async def send() -> None:
        """A delayed write of a process that was suspended."""
        alone = Write((late,))
        markers = [*alone.markers(await isolated.service.now())]
        try:
            await write(alone.updates, create=markers, metadata=write_metadata([late]))
        except AlreadyThere:
            arrivals.append(False)
        else:
            arrivals.append(True)

    async def importing(batch: Sequence[Relationship]) -> None:
        if next(calls) == before:
            await send()
        await import_(batch)

    async def closing(*args: Any, **more: Any) -> str:
        if before is None and not arrivals:
            await send()
        return await write(*args, **more)

    monkeypatch.setattr(filling, "MAX_IMPORT", 4)
    monkeypatch.setattr(engine, "import_relationships", importing)
    monkeypatch.setattr(engine, "write", closing)

    done = await rebuild(isolated)

    assert arrivals == [arrives]
    assert (sorted(done.organizations), done.busy) == (sorted([acme.id, globex.id]), [])
    assert not await acme.can(bob, "refunds_create")
    for organization in (acme, globex):
        await _assert_rebuilt(organization)


async def test_a_permanently_refused_entry_is_in_spicedb_after_a_rebuild(
    isolated: Deployment,
) -> None:
    acme = await isolated.create_organization("acme")
    await _append(isolated, acme, f"TOUCH organization:{acme.id}#overlord@user:eve")
    assert (await acme.invite("eve", ["product"])).status_code == 503
    assert (await rebuild(isolated)).organizations == [acme.id]
    assert (await acme.invite("eve", ["product"])).status_code == 201
    assert await compare_all(isolated) == {}
    await _delete_head(isolated, acme)
    assert (await rebuild(isolated)).organizations == [acme.id]


@pytest.mark.parametrize(
    ("meddling", "reported"),
    [
        (
            "INSERT INTO role_assignments VALUES ('{acme}', '{bob}', 'administrator')",
            "only the rows have organization:{acme}#administrator@user:{bob}",
        ),
        (
            "DELETE FROM role_assignments WHERE organization_id = '{acme}' AND user_id = '{bob}'",
            "only the ledger has organization:{acme}#support@user:{bob}",
        ),
    ],
)
async def test_rows_changed_outside_the_ledger_are_not_enforced(
    isolated_deployments: IsolatedDeployments, isolated: Deployment, meddling: str, reported: str
) -> None:
    acme, globex = [await isolated.create_organization(name) for name in ("acme", "globex")]
    bob = await acme.member("bob", ["support"])
    names = {"acme": acme.id, "bob": bob.id}
    await isolated_deployments.execute_without_triggers(isolated, meddling.format(**names))
    for organization in (acme, globex):
        await _delete_head(isolated, organization)

    done = await rebuild(isolated)

    assert done.organizations == [globex.id]
    assert done.disagreeing == {acme.id: [reported.format(**names)]}
    assert not await acme.can(acme.administrator, "users_access")
    [refusal] = [
        each
        for each in await acme.deployment.events(Event.PLATFORM)
        if each.kind == "rebuild_refused"
    ]
    assert refusal.details == {"closed": True, "differences": [reported.format(**names)]}
    await _assert_rebuilt(globex)


async def test_a_forged_entry_is_reversed_by_another_before_a_rebuild(
    isolated: Deployment,
) -> None:
    acme = await isolated.create_organization("acme")
    bob = await acme.member("bob", ["support"])
    forged = f"organization:{acme.id}#administrator@user:{bob.id}"
    await _append(isolated, acme, f"TOUCH {forged}")
    await _delete_head(isolated, acme)
    assert (await rebuild(isolated)).disagreeing == {acme.id: [f"only the ledger has {forged}"]}
    await _append(isolated, acme, f"DELETE {forged}")
    assert (await rebuild(isolated)).organizations == [acme.id]
    assert not await acme.can(bob, "users_invite")
    assert await compare_all(isolated) == {}


@pytest.mark.parametrize(
    ("forged", "reported"),
    [
        (["TOUCH {plain}", "DELETE {plain}"], "only the rows have {plain}"),
        (["DELETE {held}"], "only the rows have {held}"),
        (["DELETE {ending}"], "only the rows have {held}"),
        (["DELETE {other}", "TOUCH {other}"], "only the ledger has {other}"),
        (
            ["TOUCH {other}", "TOUCH {other}", "DELETE {other}", "TOUCH {other}"],
            "only the ledger has {other}",
        ),
    ],
)
async def test_the_last_update_of_each_relationship_in_the_ledger_counts(
    isolated: Deployment, forged: list[str], reported: str
) -> None:
    acme = await isolated.create_organization("acme")
    people = await acme.add_members({"bob": ["support"], "eve": ["support"]})
    me, later = f"organization:{acme.id}", await isolated.service.now() + timedelta(days=30)
    until = format_instant(later)
    body = {"roles": [{"role": "support", "expires_at": until}]}
    path = f"{acme.path}/members/{people['eve'].id}/roles"
    (await acme.administrator.ask("PUT", path, json=body)).raise_for_status()
    names = {
        "plain": f"{me}#support@user:{people['bob'].id}",
        "held": f"{me}#support@user:{people['eve'].id}[expiration:{until}]",
        "ending": f"{me}#support@user:{people['eve'].id}",
        "other": f"{me}#administrator@user:{people['bob'].id}",
    }
    for each in forged:
        await _append(isolated, acme, each.format(**names))
    await _delete_head(isolated, acme)
    assert (await rebuild(isolated)).disagreeing == {acme.id: [reported.format(**names)]}


async def test_a_skipped_entry_is_rebuilt_as_the_rows_say(isolated: Deployment) -> None:
    acme = await isolated.create_organization("acme")
    bob = await acme.member("bob", ["support"])
    me = f"organization:{acme.id}"
    forged = f"{me}#administrator@user:{bob.id}"
    await _append(isolated, acme, f"TOUCH {forged}", f"TOUCH {me}#overlord@user:eve")
    assert (await acme.invite("eve", ["product"])).status_code == 503
    assert acme.id in (await rebuild(isolated)).disagreeing
    assert await acme.can(bob, "refunds_create"), "a stopped organization keeps its access"
    async with isolated.operator(acme.id, even_if_stopped=True) as change:
        await skip_stopped(isolated.service.ledger, change, acme.id, "forged")
    await _delete_head(isolated, acme)
    assert (await rebuild(isolated)).organizations == [acme.id]
    assert not await acme.can(bob, "users_invite")
    assert await compare_all(isolated) == {}


async def _append(deployment: Deployment, organization: Organization, *updates: str) -> None:
    """Append a ledger entry that no row stands behind, as the application's password allows."""
    async with deployment.service.sessions() as session:
        await session.execute(
            text(
                "INSERT INTO ledger (organization_id, updates, actor, channel, request_id,"
                " catalog_version) VALUES (:id, :updates, 'user:eve', 'api', 'x', 'none')"
            ),
            {"id": organization.id, "updates": list(updates)},
        )
        await session.commit()


async def test_pending_positions_are_not_another_history(isolated: Deployment) -> None:
    acme = await isolated.create_organization("acme")
    async with isolated.service.ledger.change(OPERATOR, acme.id) as change:
        giving = "INSERT INTO role_assignments VALUES (:acme, :ana, 'support')"
        keys = {"acme": acme.id, "ana": acme.administrator.id}
        await change.session.execute(text(giving), keys)
        await change.session.commit()  # but nothing is sent to SpiceDB
    assert (await rebuild(isolated)).organizations == []
    assert (await acme.invite("eve", ["product"])).status_code == 201
    await assert_agreement(acme)


async def _delete_head(deployment: Deployment, organization: Organization) -> None:
    heads = [str(each) for each in await spicedb_contents(organization) if each.relation == "head"]
    await delete_from_spicedb(deployment, *heads)
