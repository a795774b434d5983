"""A SpiceDB that was replaced or restored, or a database that was: noticed, and filled anew."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from teamaccess.delivery.writer import write_metadata
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.organizations.create import create
from teamaccess.directory.organizations.stopped import skip
from teamaccess.engine import AlreadyThere
from teamaccess.ledger import Entry
from teamaccess.local.postgres.server import SPICEDB as SPICEDB_ROLE
from teamaccess.relationships import Relationship
from teamaccess.relationships.relationship import format_instant
from teamaccess.storage import Event, OrganizationId
from teamaccess.upkeep import Rebuilder, RebuildResult
from teamaccess.upkeep.rebuild import fill as filling
from tests.support.sides import agreed, entries, graph, holdings, markers, newest
from tests.support.spicedb_proxy import through, until
from tests.support.steps import chain, enlist, events, refused
from tests.support.world import OPERATOR, Team, World
from tests.upkeep.reconciliation.apart import Ground
from tests.upkeep.reconciliation.drift import everything, lose, put


def rebuilder(world: World) -> Rebuilder:
    """What the command makes."""
    service = world.service
    return Rebuilder(service.ledger, service.engine, service.catalog, OPERATOR)


async def rebuild(world: World) -> RebuildResult:
    """What the command does."""
    making = rebuilder(world)
    await making.ensure_schema()
    return await making.rebuild_all(lambda seen: None)


async def _denied(team: Team, code: str = "other_history") -> None:
    """Whatever is asked of it is refused, and nothing is changed."""

    async def unseen() -> bool:
        """Until half a second has passed SpiceDB may answer as it was at the token it is asked with."""
        looked = await team.administrator.ask("GET", f"{team.path}/members")
        return (looked.status_code, looked.json().get("code")) == (503, code)

    await until(unseen)
    await _unchangeable(team, code)


async def _unchangeable(team: Team, code: str = "other_history") -> None:
    """Every change of it is refused."""
    before = await team.ledger()
    refused(await team.invite("eve", ["product"]), 503, code)
    named = await team.administrator.ask("PATCH", team.path, json={"name": "Another"})
    refused(named, 503, code)
    assert await team.ledger() == before


async def _as_it_should_be(team: Team) -> None:
    await agreed(team)
    ledger = await entries(team)
    assert newest(await holdings(team)) == {
        entry.position: entry.hash.hex()[:12] for entry in ledger[-1:]
    }
    assert await markers(team) == {entry.position: entry.hash.hex()[:12] for entry in ledger}
    assert (await team.invite("late", ["product"])).status_code == 201
    await agreed(team)


async def test_an_empty_spicedb_is_filled_from_the_rows(ground: Ground) -> None:
    database, (_, first) = await ground.database(), await ground.spicedb()
    async with ground.world(database, first) as world:
        await world.give_schema()
        acme, globex, ended = [await world.create(name) for name in ("acme", "globex", "ended")]
        bob = await acme.member("bob", ["support"])
        await globex.invite("eve", ["product"])
        await ended.administrator.ask("DELETE", ended.path)
        before = {team.id: await agreed(team) for team in (acme, globex)}
    await ground.stop(first)
    _, second = await ground.spicedb()
    async with ground.world(database, second) as world:
        acme, globex, ended = [through(world, team) for team in (acme, globex, ended)]
        await _denied(acme, "engine_unavailable")
        await world.give_schema()
        await _denied(acme)
        found = await everything(world)
        assert {each.problem for each in found.values()} == {"other_history"}

        done = await rebuild(world)

        assert sorted(done.organizations) == sorted([acme.id, globex.id, ended.id])
        for team in (acme, globex):
            assert await agreed(team) == before[team.id]
            await _as_it_should_be(team)
        assert await acme.can(bob, "refunds_create")
        assert await graph(ended) == set()
        assert (await events(acme))[-2].kind == "engine_rebuilt"
        assert await everything(world) == {}
        assert (await rebuild(world)).organizations == []
    await ground.stop(second)


async def test_a_spicedb_restored_from_an_older_backup_is_brought_to_where_the_rows_are(
    ground: Ground,
) -> None:
    database, (graph_now, first) = await ground.database(), await ground.spicedb()
    async with ground.world(database, first) as world:
        await world.give_schema()
        acme, idle = await world.create("acme"), await world.create("idle")
        people = await enlist(acme, {"bob": ["support"], "eve": ["product"]})
    await ground.stop(first)
    older = await ground.copy(graph_now, SPICEDB_ROLE)
    _, again = await ground.spicedb(graph_now)
    async with ground.world(database, again) as world:
        acme, idle = through(world, acme), through(world, idle)
        late = await world.create("late")
        assert (await acme.act("remove", people["bob"])).status_code == 204
        assert (await acme.change_roles(people["eve"], "developer")).status_code == 200
    await ground.stop(again)
    _, restored = await ground.spicedb(older)
    async with ground.world(database, restored) as world:
        acme, idle, late = [through(world, team) for team in (acme, idle, late)]
        bob = people["bob"]
        # What services ask SpiceDB itself is answered as it was then; what they ask us is refused.
        assert await acme.can(bob, "refunds_create")
        await _denied(acme)
        await _denied(late)
        assert (await idle.invite("zoe", ["product"])).status_code == 201
        done = await rebuild(world)
        assert sorted(done.organizations) == sorted([acme.id, late.id])
        assert not await acme.can(bob, "refunds_create")
        for team in (acme, idle, late):
            await _as_it_should_be(team)
        assert await everything(world) == {}
    await ground.stop(restored)


async def test_a_database_restored_from_an_older_backup_is_what_counts(ground: Ground) -> None:
    database, (_, spicedb) = await ground.database(), await ground.spicedb()
    async with ground.world(database, spicedb) as world:
        await world.give_schema()
        acme, idle = await world.create("acme"), await world.create("idle")
        [bob] = (await enlist(acme, {"bob": ["support"]})).values()
        dump = await ground.dump(database)
        assert (await acme.change_roles(bob, "developer")).status_code == 200
        late = await world.create("late")
    older = await ground.restore(dump)
    async with ground.world(older, spicedb) as world:
        acme, idle = through(world, acme), through(world, idle)
        await _unchangeable(acme)
        assert (await rebuild(world)).organizations == [acme.id]
        assert await acme.can(bob, "refunds_create")
        assert not await acme.can(bob, "webhooks_create")
        for team in (acme, idle):
            await _as_it_should_be(team)
        # SpiceDB alone knows what was founded since.
        assert list(await everything(world)) == [late.id]
        await everything(world, max_deletes=100)
        assert await everything(world) == {}
    await ground.stop(spicedb)


async def test_an_organization_at_its_beginning_meets_what_another_history_left(
    apart: World,
) -> None:
    acme = await apart.create("acme")
    async with apart.operator() as change:
        await create(change, f"{acme.id}-new", "New", founder=None)
    position = "ledger_position:7-0123456789ab"
    await put(
        apart,
        f"organization:{acme.id}-new#member@user:eve",
        f"organization:{acme.id}-new#administrator@user:eve",
        f"organization:{acme.id}-new#head@{position}",
    )
    [verdict] = (await everything(apart)).values()
    assert verdict.problem == "other_history"
    assert (await rebuild(apart)).organizations == [f"{acme.id}-new"]
    assert await everything(apart) == {}


async def test_who_was_in_an_organization_that_a_restored_database_has_lost_is_not_in_the_next(
    apart: World,
) -> None:
    globex = await apart.create("globex")
    eve = (await enlist(globex, {"eve": ["product"]}))["eve"]
    id = OrganizationId("lost-and-founded-again")
    await put(
        apart,
        f"organization:{id}#member@user:{eve.id}",
        f"organization:{id}#administrator@user:{eve.id}",
        f"organization:{id}#head@ledger_position:7-0123456789ab",
    )
    async with apart.operator() as change:
        await create(change, id, "Again", founder=None)
    offer = {"email": "mallory@example.com", "roles": ["developer"]}
    refused(
        await eve.ask("POST", f"/v1/organizations/{id}/invitations", json=offer),
        404,
        "unknown_organization",
    )
    async with apart.operator(id) as change:
        membership = await grant_administrator(change, id, "ana@example.com", "the first")
    assert (await eve.ask("GET", f"/v1/organizations/{id}/members")).status_code != 200
    assert id in (await rebuild(apart)).organizations
    assert not await apart.check(id, eve.id, "membership")
    assert await apart.check(id, membership.user_id, "users_invite")
    refused(await eve.ask("GET", f"/v1/organizations/{id}/members"), 404, "unknown_organization")


async def test_a_head_that_is_no_position_keeps_nobody_from_rebuilding(apart: World) -> None:
    team = await apart.create("acme")
    [ledger] = (await entries(team))[-1:]
    newest_one = f"{ledger.position}-{ledger.hash.hex()[:12]}"
    await lose(apart, f"organization:{team.id}#head@ledger_position:{newest_one}")
    await put(apart, f"organization:{team.id}#head@ledger_position:rubbish")
    assert (await rebuild(apart)).organizations == [team.id]
    await _as_it_should_be(team)


@pytest.mark.parametrize("way", ["import_", "write"])
async def test_a_rebuilding_that_is_interrupted_can_be_run_again(
    apart: World, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    acme = await apart.create("acme")
    people = await enlist(acme, {f"p{number}": ["support"] for number in range(8)})
    before, ledger = await agreed(acme), await acme.ledger()
    await _forget_head(apart, acme)
    monkeypatch.setattr(filling, "MAX_IMPORT", 3)
    with monkeypatch.context() as plug:
        at = 4 if way == "import_" else 1  # all but the newest positions is imported
        plug.setattr(apart.service.engine, way, _dying(getattr(apart.service.engine, way), at))
        with pytest.raises(ConnectionError):
            await rebuild(apart)
    held = {str(each) for each in await graph(acme)}
    assert held < before if way == "import_" else held == before
    await _denied(acme)
    assert (await rebuild(apart)).organizations == [acme.id]
    assert await agreed(acme) == before
    assert await acme.ledger() == ledger
    assert await acme.can(people["p0"], "refunds_create")
    await _as_it_should_be(acme)


def _dying(call: Callable[..., Awaitable[Any]], at: int) -> Callable[..., Awaitable[Any]]:
    """The same call, until the plug is pulled before one of them."""
    calls = itertools.count(1)

    async def dies(*args: Any, **more: Any) -> Any:
        if next(calls) == at:
            raise ConnectionError("pulled the plug")
        return await call(*args, **more)

    return dies


@pytest.mark.parametrize(
    ("position", "before", "arrives"),
    [(3, 1, True), (3, 2, True), (3, None, False), (5, 1, True), (5, None, True)],
)
async def test_a_late_write_that_comes_while_it_is_filled_leaves_nothing_behind(
    apart: World,
    monkeypatch: pytest.MonkeyPatch,
    position: int,
    before: int | None,
    arrives: bool,
) -> None:
    """Before an import, or before the write of the newest positions, where none is numbered."""
    acme, globex = await apart.create("acme"), await apart.create("globex")
    bob = await acme.member("bob", ["support"])
    assert (await acme.change_roles(bob, "product")).status_code == 200
    assert (await acme.act("remove", bob)).status_code == 204
    ledger = [Entry.of(row) for row in await entries(acme)]
    assert len(ledger) == 5
    late = ledger[position - 1]
    for team in (acme, globex):
        await _forget_head(apart, team)
    engine = apart.service.engine
    calls, import_, write, came = (
        itertools.count(1),
        engine.import_relationships,
        engine.write,
        list[bool](),
    )

    async def send() -> None:
        """As its sender has sent it, who is asleep since."""
        updates = [*late.updates, *late.head_updates(since=late)]
        marker = late.marker(await apart.service.now())
        try:
            await write(updates, create=[marker], metadata=write_metadata([late]))
        except AlreadyThere:
            came.append(False)
        else:
            came.append(True)

    async def importing(batch: Sequence[Relationship]) -> None:
        if next(calls) == before:
            await send()
        await import_(batch)

    async def closing(*args: Any, **more: Any) -> str:
        if before is None and not came:
            await send()
        return await write(*args, **more)

    monkeypatch.setattr(filling, "MAX_IMPORT", 4)
    monkeypatch.setattr(engine, "import_relationships", importing)
    monkeypatch.setattr(engine, "write", closing)

    done = await rebuild(apart)

    assert came == [arrives]
    assert (sorted(done.organizations), done.busy) == (sorted([acme.id, globex.id]), [])
    assert not await acme.can(bob, "refunds_create")
    for team in (acme, globex):
        await _as_it_should_be(team)


async def test_what_was_refused_for_good_is_there_after_rebuilding(
    apart: World,
) -> None:
    acme = await apart.create("acme")
    await _append(apart, acme, f"TOUCH organization:{acme.id}#overlord@user:eve")
    assert (await acme.invite("eve", ["product"])).status_code == 503
    assert (await rebuild(apart)).organizations == [acme.id]
    assert (await acme.invite("eve", ["product"])).status_code == 201
    assert await everything(apart) == {}
    await _forget_head(apart, acme)
    assert (await rebuild(apart)).organizations == [acme.id]


@pytest.mark.parametrize(
    ("meddling", "told"),
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
async def test_rows_that_somebody_changed_behind_the_ledger_s_back_are_not_enforced(
    ground: Ground, apart: World, meddling: str, told: str
) -> None:
    acme, globex = [await apart.create(name) for name in ("acme", "globex")]
    bob = await acme.member("bob", ["support"])
    names = {"acme": acme.id, "bob": bob.id}
    await ground.behind(apart, meddling.format(**names))
    for team in (acme, globex):
        await _forget_head(apart, team)

    done = await rebuild(apart)

    assert done.organizations == [globex.id]
    assert done.disagreeing == {acme.id: [told.format(**names)]}
    assert not await acme.can(acme.administrator, "users_access")
    [refusal] = [
        each for each in await chain(acme, Event.PLATFORM) if each.kind == "rebuild_refused"
    ]
    assert refusal.details == {"closed": True, "differences": [told.format(**names)]}
    await _as_it_should_be(globex)


async def test_an_entry_that_was_forged_is_taken_back_by_another_before_it_is_rebuilt(
    apart: World,
) -> None:
    acme = await apart.create("acme")
    bob = await acme.member("bob", ["support"])
    forged = f"organization:{acme.id}#administrator@user:{bob.id}"
    await _append(apart, acme, f"TOUCH {forged}")
    await _forget_head(apart, acme)
    assert (await rebuild(apart)).disagreeing == {acme.id: [f"only the ledger has {forged}"]}
    await _append(apart, acme, f"DELETE {forged}")
    assert (await rebuild(apart)).organizations == [acme.id]
    assert not await acme.can(bob, "users_invite")
    assert await everything(apart) == {}


@pytest.mark.parametrize(
    ("forged", "told"),
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
async def test_the_ledger_s_last_word_on_each_relationship_is_what_counts(
    apart: World, forged: list[str], told: str
) -> None:
    acme = await apart.create("acme")
    people = await enlist(acme, {"bob": ["support"], "eve": ["support"]})
    me, later = f"organization:{acme.id}", await apart.service.now() + timedelta(days=30)
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
        await _append(apart, acme, each.format(**names))
    await _forget_head(apart, acme)
    assert (await rebuild(apart)).disagreeing == {acme.id: [told.format(**names)]}


async def test_what_an_operator_has_given_up_is_as_the_rows_have_it(apart: World) -> None:
    acme = await apart.create("acme")
    bob = await acme.member("bob", ["support"])
    me = f"organization:{acme.id}"
    forged = f"{me}#administrator@user:{bob.id}"
    await _append(apart, acme, f"TOUCH {forged}", f"TOUCH {me}#overlord@user:eve")
    assert (await acme.invite("eve", ["product"])).status_code == 503
    assert acme.id in (await rebuild(apart)).disagreeing
    assert await acme.can(bob, "refunds_create"), "it has only stopped, and nothing is closed"
    async with apart.operator(acme.id, even_if_stopped=True) as change:
        await skip(apart.service.ledger, change, acme.id, "forged")
    await _forget_head(apart, acme)
    assert (await rebuild(apart)).organizations == [acme.id]
    assert not await acme.can(bob, "users_invite")
    assert await everything(apart) == {}


async def _append(world: World, team: Team, *updates: str) -> None:
    """Append an entry that no row has led to, as who has the application's key can."""
    async with world.service.sessions() as session:
        await session.execute(
            text(
                "INSERT INTO ledger (organization_id, updates, actor, channel, request_id,"
                " catalog_version) VALUES (:id, :told, 'user:eve', 'api', 'x', 'none')"
            ),
            {"id": team.id, "told": list(updates)},
        )
        await session.commit()


async def test_what_only_has_not_arrived_yet_is_no_other_history(apart: World) -> None:
    acme = await apart.create("acme")
    async with apart.service.ledger.change(OPERATOR, acme.id) as change:
        giving = "INSERT INTO role_assignments VALUES (:acme, :ana, 'support')"
        keys = {"acme": acme.id, "ana": acme.administrator.id}
        await change.session.execute(text(giving), keys)
        await change.session.commit()  # and nobody tells SpiceDB
    assert (await rebuild(apart)).organizations == []
    assert (await acme.invite("eve", ["product"])).status_code == 201
    await agreed(acme)


async def _forget_head(world: World, team: Team) -> None:
    heads = [str(each) for each in await holdings(team) if each.relation == "head"]
    await lose(world, *heads)
