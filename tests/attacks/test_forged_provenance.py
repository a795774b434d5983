"""Mallory has SpiceDB's key: she can write anything, and reads in Watch how our own writes look.

Whatever she says of a write, she is found within seconds. What may be written is in our database, and
nothing that a write says of itself is believed.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select

from teamaccess.directory.organizations.stopped import skip
from teamaccess.relationships import Delete, Relationship, Touch, Update
from teamaccess.storage import Finding, FindingKind, OrganizationId, WatchCursor
from teamaccess.upkeep import Rebuilder
from tests.support.sides import entries, holdings
from tests.support.spicedb_proxy import before, until, working
from tests.support.steps import enlist, has_stopped
from tests.support.world import OPERATOR, Team, World
from tests.upkeep.reconciliation.drift import everything, lose, put
from tests.upkeep.worker.test_troubles import FORGED

EVE = "user:eve"


@pytest.fixture
async def acme(apart: World) -> Team:
    """The organization that Mallory is after."""
    team = await apart.create("acme")
    await enlist(team, {f"p{number}": ["support"] for number in range(8)})
    return team


@pytest.fixture
async def globex(apart: World) -> Team:
    """Another one, in which a plain write shows how far the worker has read."""
    return await apart.create("globex")


@pytest.fixture(autouse=True)
async def watching(apart: World, acme: Team, globex: Team) -> AsyncIterator[None]:
    """A worker watches all the time."""
    async with working(apart):
        await until(lambda: _begun(apart))
        yield


async def _begun(world: World) -> bool:
    async with world.service.reads() as session:
        return bool(await session.scalar(select(WatchCursor.zed_token)))


async def found(team: Team) -> list[dict[str, Any]]:
    """The foreign writes that were found in an organization, the oldest first."""
    async with team.world.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(Finding.organization_id == team.id, Finding.kind == FindingKind.FOREIGN_WRITE)
            .order_by(Finding.id)
        )
        return list(rows)


async def told(team: Team) -> list[str]:
    """The updates that were found there."""
    return [text for details in await found(team) for text in details["updates"]]


async def read_so_far(other: Team) -> None:
    """Wait until the worker has read everything written before this."""
    written = f"organization:{other.id}#product@user:after-{len(await found(other))}"
    await put(other.world, written)
    await until(lambda: _told(other, f"TOUCH {written}"))


async def _told(team: Team, update: str) -> bool:
    return update in await told(team)


async def forge(world: World, *updates: str, **claims: Any) -> None:
    """Write to SpiceDB with its key; the claims are what Mallory says of the write."""
    parsed: list[Update] = []
    for each in updates:
        operation, _, text = each.partition(" ")
        make = Touch if operation == "TOUCH" else Delete
        parsed.append(make(Relationship.parse(text)))
    metadata = {"teamaccess": claims} if claims else {}
    await world.service.engine.write(parsed, metadata=metadata)


def promotion(team: Team) -> str:
    """What makes Eve an administrator."""
    return f"TOUCH organization:{team.id}#administrator@{EVE}"


async def newest(team: Team) -> int:
    """The newest position of the ledger."""
    return (await entries(team))[-1].position


async def rebuild(team: Team) -> None:
    """Have SpiceDB lose the organization's head, and rebuild it as an operator does."""
    await lose(team.world, *(str(e) for e in await holdings(team) if e.relation == "head"))
    service = team.world.service
    rebuilder = Rebuilder(service.ledger, service.engine, service.catalog, OPERATOR)
    assert (await rebuilder.rebuild([team.id], lambda seen: None)).organizations == [team.id]


@pytest.mark.parametrize("word", ["rebuild", "purge", "ahead", "changes"])
async def test_no_word_of_a_write_explains_it(acme: Team, word: str) -> None:
    claim = {"organization": acme.id, "position": str(await newest(acme)), "request_id": "r"}
    await forge(acme.world, promotion(acme), **{word: [claim]})
    await until(lambda: _told(acme, promotion(acme)), seconds=20)
    [finding] = await found(acme)
    assert finding["metadata"]["teamaccess"] == {word: [claim]}


async def test_an_import_without_a_word_is_found(acme: Team) -> None:
    engine = acme.world.service.engine
    await engine.import_relationships([Relationship.parse(promotion(acme).removeprefix("TOUCH "))])
    await until(lambda: _told(acme, promotion(acme)), seconds=20)


async def test_a_claim_for_another_organization_explains_nothing_here(
    acme: Team, globex: Team
) -> None:
    async def mallory() -> None:
        place = {"organization": globex.id, "position": str(await newest(globex))}
        await forge(acme.world, promotion(acme), rebuild=[place])

    with pytest.MonkeyPatch.context() as patch:
        before(patch, acme.world, "import_", mallory)
        await rebuild(globex)
    await until(lambda: _told(acme, promotion(acme)), seconds=20)


async def test_a_rebuild_that_is_over_explains_nothing(acme: Team) -> None:
    await rebuild(acme)
    place = {"organization": acme.id, "position": str(await newest(acme))}
    await forge(acme.world, promotion(acme), rebuild=[place])
    await until(lambda: _told(acme, promotion(acme)), seconds=20)
    bob = acme.people["p0"]
    gate = f"DELETE organization:{acme.id}#member@user:{bob.id}"
    await forge(acme.world, gate, rebuild=[place])
    await until(lambda: _told(acme, gate), seconds=20)


async def test_what_is_given_and_taken_back_within_a_rebuild_is_found(
    acme: Team, globex: Team
) -> None:
    async def mallory() -> None:
        place = {"organization": acme.id, "position": str(await newest(acme))}
        await forge(acme.world, promotion(acme), rebuild=[place])
        await forge(acme.world, promotion(acme).replace("TOUCH", "DELETE"), rebuild=[place])

    with pytest.MonkeyPatch.context() as patch:
        before(patch, acme.world, "import_", mallory)
        await rebuild(acme)
    await read_so_far(globex)
    assert promotion(acme) in await told(acme)


async def test_what_is_taken_away_while_a_rebuild_fills_is_found(acme: Team, globex: Team) -> None:
    bob = acme.people["p0"]
    gate = f"DELETE organization:{acme.id}#member@user:{bob.id}"
    head = f"organization:{acme.id}#head@"

    async def mallory() -> None:
        place = {"organization": acme.id, "position": str(await newest(acme))}
        await forge(acme.world, gate, rebuild=[place])

    with pytest.MonkeyPatch.context() as patch:
        engine = acme.world.service.engine
        write = engine.write

        async def last(updates: Sequence[Update], *more: Any, **named: Any) -> str:
            """Mallory writes just before the head, which ends the filling."""
            if any(str(each).startswith(f"TOUCH {head}") for each in updates):
                await mallory()
            return await write(updates, *more, **named)

        patch.setattr(engine, "write", last)
        await rebuild(acme)
    await read_so_far(globex)
    assert gate in await told(acme)


async def test_our_own_words_of_a_true_change_explain_no_other_updates(acme: Team) -> None:
    entry = (await entries(acme))[-1]
    words = {
        "organization": acme.id,
        "position": str(entry.position),
        "actor": entry.actor,
        "request_id": entry.request_id,
    }
    await forge(acme.world, promotion(acme), changes=[words])
    await until(lambda: _told(acme, promotion(acme)), seconds=20)


async def test_the_whole_history_replayed_from_its_beginning_is_found(acme: Team) -> None:
    """The first position has no head before it, and each one after it finds the one before."""
    bob = acme.people["p0"]
    await acme.act("remove", bob)
    marker = "[expiration:2099-01-01T00:00:00Z]"
    previous: str | None = None
    for entry in await entries(acme):
        place = f"ledger_position:{entry.position}-{entry.hash.hex()[:12]}"
        head = f"organization:{acme.id}#head@{place}"
        updates = [each.partition(" WAS ")[0] for each in entry.updates]
        if any(each.startswith(f"DELETE organization:{acme.id}#member") for each in updates):
            break
        updates += [f"TOUCH organization:{acme.id}#applied@{place}{marker}", f"TOUCH {head}"]
        updates += [f"DELETE {previous}"] if previous else []
        previous = head
        claim = {"organization": acme.id, "position": str(entry.position)}
        await forge(acme.world, *updates, changes=[claim])
    gate = f"TOUCH organization:{acme.id}#member@user:{bob.id}"
    await until(lambda: _told(acme, gate), seconds=20)


async def test_a_forged_marker_is_found(acme: Team) -> None:
    entry = (await entries(acme))[-1]
    later = f"ledger_position:{entry.position + 1}-{'0' * 12}"
    for place in (f"ledger_position:{entry.position}-{entry.hash.hex()[:12]}", later):
        marker = f"organization:{acme.id}#applied@{place}[expiration:2099-01-01T00:00:00Z]"
        claim = {"organization": acme.id, "position": str(entry.position)}
        await forge(acme.world, f"TOUCH {marker}", changes=[claim])
        await until(partial(_told, acme, f"TOUCH {marker}"), seconds=20)


async def test_an_old_revocation_sent_ahead_once_more_is_found(acme: Team) -> None:
    bob = acme.people["p0"]
    await acme.change_roles(bob, "product")
    taken = (await entries(acme))[-1]
    await acme.change_roles(bob, "support")
    claim = {"organization": acme.id, "position": str(taken.position)}
    lost = f"DELETE organization:{acme.id}#support@user:{bob.id}"
    await forge(acme.world, lost, ahead=[claim])
    await until(lambda: _told(acme, lost), seconds=20)


async def test_a_tenant_that_nobody_knows_is_purged_by_us_alone(globex: Team) -> None:
    ghost = replace(globex, id=OrganizationId("ghost"))
    given = "organization:ghost#administrator@user:eve"
    claim = {"organization": "ghost", "request_id": "r"}
    await forge(globex.world, f"TOUCH {given}")
    await forge(globex.world, f"DELETE {given}", purge=[claim])
    await until(lambda: _told(ghost, f"DELETE {given}"), seconds=20)
    await put(globex.world, given)
    await until(lambda: _count(ghost, 3), seconds=20)
    await everything(globex.world, max_deletes=1000)
    await read_so_far(globex)
    assert len(await found(ghost)) == 3


async def _count(team: Team, count: int) -> bool:
    return len(await found(team)) == count


async def test_the_finding_says_which_run_was_claimed(acme: Team) -> None:
    place = {"organization": acme.id, "position": "3", "run": "77"}
    await forge(acme.world, promotion(acme), rebuild=[place])
    await until(lambda: _told(acme, promotion(acme)), seconds=20)
    [finding] = await found(acme)
    assert finding["claimed"] == [{"kind": "rebuild", "organization": acme.id, "run": 77}]
    assert finding["why"] == "no run of ours may write this"


async def test_revocations_ahead_of_their_turn_are_ours(acme: Team, globex: Team) -> None:
    bob = acme.people["p0"]
    connection = await asyncpg.connect(acme.world.settings.database_url)
    await connection.execute(FORGED, acme.id, "TOUCH nonsense:x#y@user:z")
    await connection.close()
    await has_stopped(acme)
    gone = await acme.act("remove", bob)
    assert gone.status_code in (200, 202, 204)
    await read_so_far(globex)
    assert await found(acme) == []
    async with acme.world.operator(acme.id, even_if_stopped=True) as change:
        await skip(acme.world.service.ledger, change, acme.id, "forged")
    await read_so_far(globex)
    assert await found(acme) == []
