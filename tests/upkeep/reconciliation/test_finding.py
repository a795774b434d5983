"""What has drifted is found, and nothing else."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from teamaccess.ledger import database_time
from teamaccess.storage import Finding, FindingKind, Reconciliation
from teamaccess.upkeep.reconciliation import compare, comparer
from teamaccess.upkeep.reconciliation.comparison import Comparison
from teamaccess.upkeep.reconciliation.results import save_agreement
from teamaccess.upkeep.reconciliation.tenants import Tenant
from tests.support.objects import grant, registered, remove, to
from tests.support.sides import agreed, seat
from tests.support.steps import end_role, enlist
from tests.support.world import Person, Team, World
from tests.upkeep.reconciliation.drift import everything, inspector, lose, one, put

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
ENDING = f"[expiration:{TOMORROW:%Y-%m-%dT%H:%M:%SZ}]"


async def test_an_organization_as_it_should_be_has_no_difference(acme: Team) -> None:
    await acme.member("bob", roles=["support"])
    await acme.invite("eve", ["product"])
    verdict = await one(acme)
    assert (verdict.found, verdict.problem) == (0, None)
    assert verdict.compared == 5
    assert await _checked(acme) == 0


async def test_every_kind_of_difference_is_told_apart(acme: Team) -> None:
    [bob, eve] = await seat(acme, bob=["support"], eve=["product", "support"])
    me = f"organization:{acme.id}"
    await lose(acme.world, f"{me}#support@user:{bob}")
    await put(
        acme.world,
        f"{me}#developer@user:{bob}",
        f"{me}#product@user:{eve}{ENDING}",
        f"{me}#support@team:globex/pay#member",
        f"webhook:{acme.id}/wh_1#organization@organization:globex",
        f"team:{acme.id}/pay#member@user:{bob}",
        f"invitation:{acme.id}/inv_7#invitee@email:0123{ENDING}",
    )
    verdict = await one(acme)
    assert verdict.differences == {
        "missing": [f"{me}#support@user:{bob}"],
        "extra": [
            f"invitation:{acme.id}/inv_7#invitee@email:0123{ENDING}",
            f"{me}#developer@user:{bob}",
            f"team:{acme.id}/pay#member@user:{bob}",
        ],
        "different_expiration": [
            {"meant": f"{me}#product@user:{eve}", "held": f"{me}#product@user:{eve}{ENDING}"}
        ],
        "foreign": [
            f"{me}#support@team:globex/pay#member",
            f"webhook:{acme.id}/wh_1#organization@organization:globex",
        ],
    }
    assert await _checked(acme) == verdict.found == 7


async def test_objects_and_what_is_granted_on_them_are_compared_as_well(acme: Team) -> None:
    [bob] = await seat(acme, bob=["support"])
    whom = Person(acme.world, bob, "", "")
    await registered(acme, "webhook:wh_1")
    await registered(acme, "transfer:t_1", creator=acme.administrator)
    await grant(acme, "webhook:wh_1", to(whom, "edit"), to(whom, "view"))
    assert (await one(acme)).found == 0
    webhook, transfer = f"webhook:{acme.id}/wh_1", f"transfer:{acme.id}/t_1"
    creator = f"{transfer}#creator@user:{acme.administrator.id}"
    stray = f"webhook:{acme.id}/wh_2#organization@organization:{acme.id}"
    await lose(acme.world, creator, f"{webhook}#granted_view@user:{bob}")
    await put(
        acme.world,
        stray,
        f"{webhook}#granted_delete@user:{bob}",
        f"{webhook}#granted_delete@team:elsewhere/pay#member",
    )

    verdict = await one(acme)

    assert verdict.differences == {
        "missing": [creator, f"{webhook}#granted_view@user:{bob}"],
        "extra": [f"{webhook}#granted_delete@user:{bob}", stray],
        "foreign": [f"{webhook}#granted_delete@team:elsewhere/pay#member"],
    }
    await one(acme, max_deletes=10)
    assert (await one(acme)).found == 0
    await agreed(acme)
    await remove(acme, "transfer:t_1")
    assert (await one(acme)).found == 0


async def test_a_finding_is_kept_once_and_closed_when_it_is_no_more(acme: Team) -> None:
    strange = f"organization:{acme.id}#support@user:nobody"
    await put(acme.world, strange)
    for _ in range(2):
        await one(acme)
    [finding] = await _findings(acme)
    assert finding.details["extra"] == [strange]
    assert finding.resolved_at is None
    await lose(acme.world, strange)
    await one(acme)
    [finding] = await _findings(acme)
    assert finding.resolved_at is not None
    await put(acme.world, strange)
    await one(acme)
    [finding] = await _findings(acme)
    assert finding.resolved_at is None


async def test_what_has_ended_is_absent_on_both_sides(acme: Team) -> None:
    people = await enlist(acme, {"bob": ["support"], "eve": ["support"]})
    now = datetime.now(UTC)
    await end_role(acme, people["bob"], "support", now - timedelta(seconds=1))
    me, gone = f"organization:{acme.id}", "[expiration:2020-01-01T00:00:00Z]"
    await put(acme.world, f"{me}#support@user:nobody{gone}")
    assert (await one(acme)).found == 0
    await put(acme.world, f"{me}#support@user:{people['eve'].id}{gone}")
    assert (await one(acme)).counts == {"missing": 1}
    # The row says that it has ended, SpiceDB that it has not.
    await put(acme.world, f"{me}#support@user:{people['bob'].id}")
    assert (await one(acme)).counts == {"missing": 1, "different_expiration": 1}


async def test_a_large_organization_is_compared_in_parts(
    acme: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    seats = {f"p{number}": ["support", "product"] for number in range(40)}
    users = await seat(acme, **seats)
    me = f"organization:{acme.id}"
    await lose(acme.world, *(f"{me}#support@user:{user}" for user in users[:7]))
    await put(acme.world, *(f"{me}#developer@user:{user}" for user in users[:5]))
    whole = await one(acme)
    monkeypatch.setattr(compare, "AT_ONCE", 10)
    assert (await one(acme)).differences == whole.differences
    assert whole.counts == {"missing": 7, "extra": 5}


async def test_a_pass_over_everything_finds_tenants_of_which_sql_knows_nothing(
    apart: World,
) -> None:
    acme, globex = await apart.create("acme"), await apart.create("globex")
    # In bytes acme- comes before acme/, and acme before both.
    longer = await apart.create(f"{acme.id}-2")
    for team in (acme, longer):
        await team.invite("eve", ["product"])
        await registered(team, "webhook:wh_0", "link:l_0")
    await registered(acme, "transfer:t_0", creator=acme.administrator)
    assert await everything(apart) == {}
    await put(
        apart,
        "organization:hooli#member@user:gavin",
        "team:hooli/box#member@user:gavin",
        "webhook:alone#granted_edit@user:gavin",
        f"webhook:{acme.id}/wh_1#granted_edit@user:gavin",
    )
    await lose(apart, f"organization:{globex.id}#member@user:{globex.administrator.id}")
    found = await everything(apart)
    assert {name: (each.known, each.counts) for name, each in found.items()} == {
        "hooli": (False, {"foreign": 2}),
        "webhook:alone": (False, {"foreign": 1}),
        acme.id: (True, {"extra": 1}),
        globex.id: (True, {"missing": 1}),
    }
    assert await _checked(longer) == 0
    assert await _checked(globex) == 1
    await lose(apart, "organization:hooli#member@user:gavin", "team:hooli/box#member@user:gavin")
    await everything(apart)
    async with apart.service.reads() as session:
        about = select(Finding.organization_id).where(Finding.resolved_at.is_(None))
        left = set(await session.scalars(about))
    assert left == {"webhook:alone", acme.id, globex.id}


async def test_a_running_change_is_no_drift(apart: World) -> None:
    teams = [await apart.create(name) for name in ("acme", "globex")]
    people = [await team.member("bob", ["support"]) for team in teams]
    done = asyncio.Event()

    async def change(number: int) -> int:
        made = 0
        while not done.is_set():
            for role in ("product", "developer"):
                answer = await teams[number].change_roles(people[number], role)
                assert answer.status_code == 200, answer.text
                made += 1
        return made

    changing = [asyncio.create_task(change(number)) for number in range(2)]
    for _ in range(6):
        assert await everything(apart) == {}
        for team in teams:
            verdict = await inspector(apart).reconcile_tenant(team.id)
            assert (verdict.found, verdict.problem) == (0, None)
    done.set()
    assert min(await asyncio.gather(*changing)) > 5


async def test_a_change_between_the_rows_and_the_question_is_no_other_history(
    apart: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await apart.create("acme")
    bob = await acme.member("bob", ["support"])
    meanwhile = iter(["product"])

    async def late(*arguments: Any) -> Comparison:
        for role in meanwhile:
            await acme.change_roles(bob, role)
        return await compare.compare(*arguments)

    monkeypatch.setattr(comparer, "compare", late)
    verdict = await inspector(apart).reconcile_tenant(acme.id)
    assert (verdict.found, verdict.problem) == (0, None)


async def _checked(team: Team) -> int | None:
    async with team.world.service.reads() as session:
        row = await session.get(Reconciliation, team.id)
        return row.differences if row else None


async def _findings(team: Team) -> list[Finding]:
    async with team.world.service.reads() as session:
        mine = select(Finding).where(
            Finding.organization_id == team.id, Finding.kind == FindingKind.DRIFT
        )
        return list(await session.scalars(mine))


async def test_any_number_of_organizations_may_be_suspected_at_once(acme: Team) -> None:
    crowd = [Tenant("organization", f"nobody-{number}") for number in range(40_000)]
    looking = inspector(acme.world)
    assert await looking._organizations([*crowd, Tenant("organization", acme.id)]) == {acme.id}
    async with acme.world.service.sessions() as session:
        long_ago = await database_time(session) - timedelta(days=36_500)
    await save_agreement(acme.world.service.sessions, long_ago, {each.key for each in crowd})
