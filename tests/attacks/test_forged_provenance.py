"""Mallory has SpiceDB's key: she can write anything, and reads the metadata of our own writes in Watch.

Whatever metadata she writes, she is found within seconds. The valid writes are in our database, and
the metadata of a write alone proves nothing.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import Any, Self

import asyncpg
import pytest
from sqlalchemy import delete, select, text

from teamaccess.directory.organizations.stopped import skip_stopped
from teamaccess.relationships import Delete, Relationship, Touch, Update
from teamaccess.storage import (
    Finding,
    FindingKind,
    LedgerEntry,
    Membership,
    OrganizationId,
    RoleAssignment,
    WatchCursor,
)
from teamaccess.upkeep import Rebuilder
from tests.support.agreement import ledger_entries, spicedb_contents
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import before_first_call, running_worker, wait_until
from tests.upkeep.reconciliation.drift import add_to_spicedb, compare_all, delete_from_spicedb
from tests.upkeep.worker.test_troubles import FORGED

EVE = "user:eve"


@pytest.fixture
async def acme(isolated: Deployment) -> Organization:
    """The organization that Mallory is after."""
    organization = await isolated.create_organization("acme")
    await organization.add_members({f"p{number}": ["support"] for number in range(8)})
    return organization


@pytest.fixture
async def globex(isolated: Deployment) -> Organization:
    """Another one, in which a plain write shows how far the worker has read."""
    return await isolated.create_organization("globex")


@pytest.fixture(autouse=True)
async def watching(
    isolated: Deployment, acme: Organization, globex: Organization
) -> AsyncIterator[None]:
    """A worker watches all the time."""
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        yield


async def watch_has_begun(deployment: Deployment) -> bool:
    async with deployment.service.reads() as session:
        return bool(await session.scalar(select(WatchCursor.zed_token)))


async def found(organization: Organization) -> list[dict[str, Any]]:
    """The foreign writes that were found in an organization, the oldest first."""
    async with organization.deployment.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(
                Finding.organization_id == organization.id,
                Finding.kind == FindingKind.FOREIGN_WRITE,
            )
            .order_by(Finding.id)
        )
        return list(rows)


async def reported(organization: Organization) -> list[str]:
    """The updates that were found there."""
    return [text for details in await found(organization) for text in details["updates"]]


async def read_so_far(other: Organization) -> None:
    """Wait until the worker has read everything written before this."""
    written = f"organization:{other.id}#product@user:after-{len(await found(other))}"
    await add_to_spicedb(other.deployment, written)
    await wait_until(lambda: is_reported(other, f"TOUCH {written}"))


async def is_reported(organization: Organization, update: str) -> bool:
    return update in await reported(organization)


async def forge(deployment: Deployment, *updates: str, **claims: Any) -> None:
    """Write to SpiceDB with its key and Mallory's metadata."""
    parsed: list[Update] = []
    for each in updates:
        operation, _, text = each.partition(" ")
        make = Touch if operation == "TOUCH" else Delete
        parsed.append(make(Relationship.parse(text)))
    metadata = {"teamaccess": claims} if claims else {}
    await deployment.service.engine.write(parsed, metadata=metadata)


def promotion(organization: Organization) -> str:
    """Relationships that make Eve an administrator."""
    return f"TOUCH organization:{organization.id}#administrator@{EVE}"


async def newest(organization: Organization) -> int:
    """The newest position of the ledger."""
    return (await ledger_entries(organization))[-1].position


async def rebuild(organization: Organization) -> None:
    """Have SpiceDB lose the organization's head, and rebuild it as an operator does."""
    await delete_from_spicedb(
        organization.deployment,
        *(str(e) for e in await spicedb_contents(organization) if e.relation == "head"),
    )
    service = organization.deployment.service
    rebuilder = Rebuilder(service.ledger, service.engine, service.catalog, OPERATOR)
    assert (await rebuilder.rebuild([organization.id], lambda seen: None)).organizations == [
        organization.id
    ]


@pytest.mark.parametrize("word", ["rebuild", "purge", "ahead", "changes"])
async def test_forged_metadata_does_not_explain_a_write(acme: Organization, word: str) -> None:
    claim = {"organization": acme.id, "position": str(await newest(acme)), "request_id": "r"}
    await forge(acme.deployment, promotion(acme), **{word: [claim]})
    await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)
    [finding] = await found(acme)
    assert finding["metadata"]["teamaccess"] == {word: [claim]}


async def test_an_import_without_metadata_is_found(acme: Organization) -> None:
    engine = acme.deployment.service.engine
    await engine.import_relationships([Relationship.parse(promotion(acme).removeprefix("TOUCH "))])
    await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)


async def test_metadata_for_another_organization_explains_nothing_here(
    acme: Organization, globex: Organization
) -> None:
    async def mallory() -> None:
        place = {"organization": globex.id, "position": str(await newest(globex))}
        await forge(acme.deployment, promotion(acme), rebuild=[place])

    with pytest.MonkeyPatch.context() as patch:
        before_first_call(patch, acme.deployment, "import_relationships", mallory)
        await rebuild(globex)
    await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)


async def test_a_finished_rebuild_explains_nothing(acme: Organization) -> None:
    await rebuild(acme)
    place = {"organization": acme.id, "position": str(await newest(acme))}
    await forge(acme.deployment, promotion(acme), rebuild=[place])
    await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)
    bob = acme.people["p0"]
    gate = f"DELETE organization:{acme.id}#member@user:{bob.id}"
    await forge(acme.deployment, gate, rebuild=[place])
    await wait_until(lambda: is_reported(acme, gate), seconds=20)


async def test_access_given_and_taken_back_during_a_rebuild_is_found(
    acme: Organization, globex: Organization
) -> None:
    async def mallory() -> None:
        place = {"organization": acme.id, "position": str(await newest(acme))}
        await forge(acme.deployment, promotion(acme), rebuild=[place])
        await forge(acme.deployment, promotion(acme).replace("TOUCH", "DELETE"), rebuild=[place])

    with pytest.MonkeyPatch.context() as patch:
        before_first_call(patch, acme.deployment, "import_relationships", mallory)
        await rebuild(acme)
    await read_so_far(globex)
    assert promotion(acme) in await reported(acme)


async def test_access_taken_away_during_a_rebuild_is_found(
    acme: Organization, globex: Organization
) -> None:
    bob = acme.people["p0"]
    gate = f"DELETE organization:{acme.id}#member@user:{bob.id}"
    head = f"organization:{acme.id}#head@"

    async def mallory() -> None:
        place = {"organization": acme.id, "position": str(await newest(acme))}
        await forge(acme.deployment, gate, rebuild=[place])

    with pytest.MonkeyPatch.context() as patch:
        engine = acme.deployment.service.engine
        write = engine.write

        async def last(updates: Sequence[Update], *more: Any, **named: Any) -> str:
            """Mallory writes just before the head, which ends the filling."""
            if any(str(each).startswith(f"TOUCH {head}") for each in updates):
                await mallory()
            return await write(updates, *more, **named)

        patch.setattr(engine, "write", last)
        await rebuild(acme)
    await read_so_far(globex)
    assert gate in await reported(acme)


async def test_metadata_of_a_real_change_explains_no_other_updates(acme: Organization) -> None:
    entry = (await ledger_entries(acme))[-1]
    words = {
        "organization": acme.id,
        "position": str(entry.position),
        "actor": entry.actor,
        "request_id": entry.request_id,
    }
    await forge(acme.deployment, promotion(acme), changes=[words])
    await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)


async def test_a_replay_of_the_whole_history_is_found(acme: Organization) -> None:
    """The first position has no head before it, and each one after it finds the one before."""
    bob = acme.people["p0"]
    await acme.remove(bob)
    marker = "[expiration:2099-01-01T00:00:00Z]"
    previous: str | None = None
    for entry in await ledger_entries(acme):
        place = f"ledger_position:{entry.position}-{entry.hash.hex()[:12]}"
        head = f"organization:{acme.id}#head@{place}"
        updates = [each.partition(" WAS ")[0] for each in entry.updates]
        if any(each.startswith(f"DELETE organization:{acme.id}#member") for each in updates):
            break
        updates += [f"TOUCH organization:{acme.id}#applied@{place}{marker}", f"TOUCH {head}"]
        updates += [f"DELETE {previous}"] if previous else []
        previous = head
        claim = {"organization": acme.id, "position": str(entry.position)}
        await forge(acme.deployment, *updates, changes=[claim])
    gate = f"TOUCH organization:{acme.id}#member@user:{bob.id}"
    await wait_until(lambda: is_reported(acme, gate), seconds=20)


async def test_a_forged_marker_is_found(acme: Organization) -> None:
    entry = (await ledger_entries(acme))[-1]
    later = f"ledger_position:{entry.position + 1}-{'0' * 12}"
    for place in (f"ledger_position:{entry.position}-{entry.hash.hex()[:12]}", later):
        marker = f"organization:{acme.id}#applied@{place}[expiration:2099-01-01T00:00:00Z]"
        claim = {"organization": acme.id, "position": str(entry.position)}
        await forge(acme.deployment, f"TOUCH {marker}", changes=[claim])
        await wait_until(partial(is_reported, acme, f"TOUCH {marker}"), seconds=20)


async def test_a_replayed_early_revocation_is_found(acme: Organization) -> None:
    bob = acme.people["p0"]
    await acme.change_roles(bob, "product")
    taken = (await ledger_entries(acme))[-1]
    await acme.change_roles(bob, "support")
    claim = {"organization": acme.id, "position": str(taken.position)}
    lost = f"DELETE organization:{acme.id}#support@user:{bob.id}"
    await forge(acme.deployment, lost, ahead=[claim])
    await wait_until(lambda: is_reported(acme, lost), seconds=20)


async def test_only_our_own_purge_of_an_unknown_tenant_is_explained(globex: Organization) -> None:
    ghost = replace(globex, id=OrganizationId("ghost"))
    given = "organization:ghost#administrator@user:eve"
    claim = {"organization": "ghost", "request_id": "r"}
    await forge(globex.deployment, f"TOUCH {given}")
    await forge(globex.deployment, f"DELETE {given}", purge=[claim])
    await wait_until(lambda: is_reported(ghost, f"DELETE {given}"), seconds=20)
    await add_to_spicedb(globex.deployment, given)
    await wait_until(lambda: _count(ghost, 3), seconds=20)
    await compare_all(globex.deployment, max_deletes=1000)
    await read_so_far(globex)
    assert len(await found(ghost)) == 3


async def _count(organization: Organization, count: int) -> bool:
    return len(await found(organization)) == count


async def test_the_finding_names_the_claimed_run(acme: Organization) -> None:
    place = {"organization": acme.id, "position": "3", "run": "77"}
    await forge(acme.deployment, promotion(acme), rebuild=[place])
    await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)
    [finding] = await found(acme)
    assert finding["claimed"] == [{"kind": "rebuild", "organization": acme.id, "run": 77}]
    assert finding["why"] == "no run of ours may write this"


async def test_early_revocations_of_the_product_are_explained(
    acme: Organization, globex: Organization
) -> None:
    bob = acme.people["p0"]
    connection = await asyncpg.connect(acme.deployment.settings.database_url)
    await connection.execute(FORGED, acme.id, f"TOUCH nonsense:{acme.id}/x#y@user:z")
    await connection.close()
    await acme.wait_until_stopped()
    gone = await acme.remove(bob)
    assert gone.status_code in (200, 202, 204)
    await read_so_far(globex)
    assert await found(acme) == []
    async with acme.deployment.operator(acme.id, even_if_stopped=True) as change:
        await skip_stopped(acme.deployment.service.ledger, change, acme.id, "forged")
    await read_so_far(globex)
    assert await found(acme) == []


async def decide_removal(organization: Organization, name: str) -> LedgerEntry:
    """Commit the removal of a member without delivering it, as a process does that stops then."""
    service, user = organization.deployment.service, organization.people[name].id
    async with service.ledger.change(OPERATOR, organization.id, judging=False) as change:
        await change.session.execute(
            delete(Membership).where(
                Membership.organization_id == organization.id, Membership.user_id == user
            )
        )
        await service.ledger.decide(change)
    return (await ledger_entries(organization))[-1]


def arrival(entry: LedgerEntry, *updates: str, until: str = "2099-01-01") -> list[str]:
    """What SpiceDB would receive for a position, with other updates."""
    places = [
        f"ledger_position:{entry.position - 1}-{entry.previous_hash.hex()[:12]}",
        f"ledger_position:{entry.position}-{entry.hash.hex()[:12]}",
    ]
    heads = [f"organization:{entry.organization_id}#head@{place}" for place in places]
    marker = f"organization:{entry.organization_id}#applied@{places[1]}"
    ours = f"TOUCH {marker}[expiration:{until}T00:00:00Z]"
    return [*updates, ours, f"DELETE {heads[0]}", f"TOUCH {heads[1]}"]


async def test_a_marker_without_the_updates_of_its_position_is_found_and_repaired(
    acme: Organization, globex: Organization
) -> None:
    """Mallory makes a removal look delivered before it is. The watcher finds this and delivers it."""
    bob = acme.people["p0"]
    entry = await decide_removal(acme, "p0")
    claim = {"organization": acme.id, "position": str(entry.position)}
    await forge(acme.deployment, *arrival(entry), changes=[claim])
    await wait_until(lambda: is_reported(acme, arrival(entry)[-1]), seconds=20)
    [finding] = await found(acme)
    assert finding["why"] == "it marks a position as delivered without the updates of the position"

    gate = f"organization:{acme.id}#member@user:{bob.id}"
    await wait_until(lambda: _lacks(acme, gate), seconds=20)

    answer = await acme.change_roles(acme.people["p1"], "product")
    assert answer.status_code == 200, answer.text
    await read_so_far(globex)
    assert len(await found(acme)) == 1


class FastClock(datetime):
    """The clock of a machine that is two hours ahead of PostgreSQL."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(hours=2)


async def test_a_machine_whose_clock_is_ahead_delivers_what_a_forged_marker_hides(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own clock, the role that is missing would have ended already."""
    monkeypatch.setattr("teamaccess.delivery.writer.datetime", FastClock)
    service, bob = acme.deployment.service, acme.people["p0"].id
    async with service.ledger.change(OPERATOR, acme.id, judging=False) as change:
        given = {"organization_id": acme.id, "user_id": bob, "role": "product"}
        end = change.now + timedelta(hours=1)
        change.session.add(RoleAssignment(**given, granted_at=change.now, expires_at=end))
        await service.ledger.decide(change)
    entry = (await ledger_entries(acme))[-1]
    claim = {"organization": acme.id, "position": str(entry.position)}
    await forge(acme.deployment, *arrival(entry), changes=[claim])
    role = f"organization:{acme.id}#product@user:{bob}[expiration:"
    await wait_until(lambda: _holds(acme, role), seconds=20)


async def _holds(organization: Organization, beginning: str) -> bool:
    return any(str(each).startswith(beginning) for each in await spicedb_contents(organization))


async def _lacks(organization: Organization, text: str) -> bool:
    return text not in [str(each) for each in await spicedb_contents(organization)]


async def test_two_forged_markers_hide_no_position(
    acme: Organization, globex: Organization
) -> None:
    first, second = await decide_removal(acme, "p0"), await decide_removal(acme, "p1")
    for entry in (first, second):
        claim = {"organization": acme.id, "position": str(entry.position)}
        await forge(acme.deployment, *arrival(entry), changes=[claim])
    for name in ("p0", "p1"):
        gate = f"organization:{acme.id}#member@user:{acme.people[name].id}"
        await wait_until(partial(_lacks, acme, gate), seconds=20)
    await wait_until(lambda: is_reported(acme, arrival(second)[-1]), seconds=20)
    await wait_until(lambda: is_reported(acme, arrival(first)[-1]), seconds=20)


async def test_only_the_last_update_of_a_relationship_is_explained(acme: Organization) -> None:
    """Position 5 gives and position 6 takes away. A write that claims both may not give."""
    bob = acme.people["p0"]
    given = f"organization:{acme.id}#developer@user:{bob.id}"
    row = f"('{acme.id}', '{bob.id}', 'developer')"
    columns = "(organization_id, user_id, role)"
    for expression in (
        f"INSERT INTO role_assignments {columns} VALUES {row}",
        f"DELETE FROM role_assignments WHERE {columns} = {row}",
    ):
        ledger = acme.deployment.service.ledger
        async with ledger.change(OPERATOR, acme.id, judging=False) as change:
            await change.session.execute(text(expression))
            await ledger.decide(change)
    gave, took = (await ledger_entries(acme))[-2:]
    assert gave.updates == [f"TOUCH {given}"]
    assert took.updates == [f"DELETE {given}"]
    forged = [
        *arrival(gave, f"TOUCH {given}")[:-1],
        *arrival(took)[:1],
        arrival(took)[-1],
    ]
    claims = [{"organization": acme.id, "position": str(each.position)} for each in (gave, took)]
    await forge(acme.deployment, *forged, changes=claims)
    await wait_until(lambda: is_reported(acme, f"TOUCH {given}"), seconds=20)


async def test_a_head_that_is_only_taken_away_is_found(acme: Organization) -> None:
    entry = await decide_removal(acme, "p0")
    claim = {"organization": acme.id, "position": str(entry.position)}
    without_head = arrival(entry, *entry.updates)[:-1]
    await forge(acme.deployment, *without_head, changes=[claim])
    await wait_until(lambda: is_reported(acme, without_head[-1]), seconds=20)
