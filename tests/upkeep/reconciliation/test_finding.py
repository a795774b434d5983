"""Drift is found, and nothing else is reported."""

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
from tests.support.agreement import assert_agreement
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, grant_to, remove_resource, set_grants
from tests.upkeep.reconciliation.drift import (
    add_to_spicedb,
    compare_all,
    compare_one,
    create_inspector,
    delete_from_spicedb,
)

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
EXPIRATION = f"[expiration:{TOMORROW:%Y-%m-%dT%H:%M:%SZ}]"


async def test_an_intact_organization_has_no_difference(acme: Organization) -> None:
    await acme.member("bob", roles=["support"])
    await acme.invite("eve", ["product"])
    result = await compare_one(acme)
    assert (result.found, result.problem) == (0, None)
    assert result.compared == 5
    assert await _recorded_differences(acme) == 0


async def test_every_kind_of_difference_is_distinguished(acme: Organization) -> None:
    [bob, eve] = await acme.add_users(bob=["support"], eve=["product", "support"])
    me = f"organization:{acme.id}"
    await delete_from_spicedb(acme.deployment, f"{me}#support@user:{bob}")
    await add_to_spicedb(
        acme.deployment,
        f"{me}#developer@user:{bob}",
        f"{me}#product@user:{eve}{EXPIRATION}",
        f"{me}#support@team:globex/pay#member",
        f"webhook:{acme.id}/wh_1#organization@organization:globex",
        f"team:{acme.id}/pay#member@user:{bob}",
        f"invitation:{acme.id}/inv_7#invitee@email:0123{EXPIRATION}",
    )
    result = await compare_one(acme)
    assert result.differences == {
        "missing": [f"{me}#support@user:{bob}"],
        "extra": [
            f"invitation:{acme.id}/inv_7#invitee@email:0123{EXPIRATION}",
            f"{me}#developer@user:{bob}",
            f"team:{acme.id}/pay#member@user:{bob}",
        ],
        "different_expiration": [
            {"meant": f"{me}#product@user:{eve}", "held": f"{me}#product@user:{eve}{EXPIRATION}"}
        ],
        "foreign": [
            f"{me}#support@team:globex/pay#member",
            f"webhook:{acme.id}/wh_1#organization@organization:globex",
        ],
    }
    assert await _recorded_differences(acme) == result.found == 7


async def test_resources_and_grants_are_compared_too(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    target = Person(acme.deployment, bob, "", "")
    await add_resources(acme, "webhook:wh_1")
    await add_resources(acme, "transfer:t_1", creator=acme.administrator)
    await set_grants(acme, "webhook:wh_1", grant_to(target, "edit"), grant_to(target, "view"))
    assert (await compare_one(acme)).found == 0
    webhook, transfer = f"webhook:{acme.id}/wh_1", f"transfer:{acme.id}/t_1"
    creator = f"{transfer}#creator@user:{acme.administrator.id}"
    stray = f"webhook:{acme.id}/wh_2#organization@organization:{acme.id}"
    await delete_from_spicedb(acme.deployment, creator, f"{webhook}#granted_view@user:{bob}")
    await add_to_spicedb(
        acme.deployment,
        stray,
        f"{webhook}#granted_delete@user:{bob}",
        f"{webhook}#granted_delete@team:elsewhere/pay#member",
    )

    result = await compare_one(acme)

    assert result.differences == {
        "missing": [creator, f"{webhook}#granted_view@user:{bob}"],
        "extra": [f"{webhook}#granted_delete@user:{bob}", stray],
        "foreign": [f"{webhook}#granted_delete@team:elsewhere/pay#member"],
    }
    await compare_one(acme, max_deletes=10)
    assert (await compare_one(acme)).found == 0
    await assert_agreement(acme)
    await remove_resource(acme, "transfer:t_1")
    assert (await compare_one(acme)).found == 0


async def test_a_finding_is_recorded_once_and_closed_when_its_cause_is_gone(
    acme: Organization,
) -> None:
    strange = f"organization:{acme.id}#support@user:nobody"
    await add_to_spicedb(acme.deployment, strange)
    for _ in range(2):
        await compare_one(acme)
    [finding] = await _findings(acme)
    assert finding.details["extra"] == [strange]
    assert finding.resolved_at is None
    await delete_from_spicedb(acme.deployment, strange)
    await compare_one(acme)
    [finding] = await _findings(acme)
    assert finding.resolved_at is not None
    await add_to_spicedb(acme.deployment, strange)
    await compare_one(acme)
    [finding] = await _findings(acme)
    assert finding.resolved_at is None


async def test_expired_relationships_are_absent_on_both_sides(acme: Organization) -> None:
    people = await acme.add_members({"bob": ["support"], "eve": ["support"]})
    now = datetime.now(UTC)
    await acme.set_role_expiry(people["bob"], "support", now - timedelta(seconds=1))
    me, gone = f"organization:{acme.id}", "[expiration:2020-01-01T00:00:00Z]"
    await add_to_spicedb(acme.deployment, f"{me}#support@user:nobody{gone}")
    assert (await compare_one(acme)).found == 0
    await add_to_spicedb(acme.deployment, f"{me}#support@user:{people['eve'].id}{gone}")
    assert (await compare_one(acme)).counts == {"missing": 1}
    # the row has expired, and the relationship in SpiceDB has not
    await add_to_spicedb(acme.deployment, f"{me}#support@user:{people['bob'].id}")
    assert (await compare_one(acme)).counts == {"missing": 1, "different_expiration": 1}


async def test_a_large_organization_is_compared_in_parts(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    seats = {f"p{number}": ["support", "product"] for number in range(40)}
    users = await acme.add_users(**seats)
    me = f"organization:{acme.id}"
    await delete_from_spicedb(acme.deployment, *(f"{me}#support@user:{user}" for user in users[:7]))
    await add_to_spicedb(acme.deployment, *(f"{me}#developer@user:{user}" for user in users[:5]))
    whole = await compare_one(acme)
    monkeypatch.setattr(compare, "AT_ONCE", 10)
    assert (await compare_one(acme)).differences == whole.differences
    assert whole.counts == {"missing": 7, "extra": 5}


async def test_a_full_comparison_finds_tenants_that_only_spicedb_knows(
    isolated: Deployment,
) -> None:
    acme, globex = (
        await isolated.create_organization("acme"),
        await isolated.create_organization("globex"),
    )
    # In bytes acme- comes before acme/, and acme before both.
    longer = await isolated.create_organization(f"{acme.id}-2")
    for organization in (acme, longer):
        await organization.invite("eve", ["product"])
        await add_resources(organization, "webhook:wh_0", "link:l_0")
    await add_resources(acme, "transfer:t_0", creator=acme.administrator)
    assert await compare_all(isolated) == {}
    await add_to_spicedb(
        isolated,
        "organization:hooli#member@user:gavin",
        "team:hooli/box#member@user:gavin",
        "webhook:alone#granted_edit@user:gavin",
        f"webhook:{acme.id}/wh_1#granted_edit@user:gavin",
    )
    await delete_from_spicedb(
        isolated, f"organization:{globex.id}#member@user:{globex.administrator.id}"
    )
    found = await compare_all(isolated)
    assert {name: (each.known, each.counts) for name, each in found.items()} == {
        "hooli": (False, {"foreign": 2}),
        "webhook:alone": (False, {"foreign": 1}),
        acme.id: (True, {"extra": 1}),
        globex.id: (True, {"missing": 1}),
    }
    assert await _recorded_differences(longer) == 0
    assert await _recorded_differences(globex) == 1
    await delete_from_spicedb(
        isolated, "organization:hooli#member@user:gavin", "team:hooli/box#member@user:gavin"
    )
    await compare_all(isolated)
    async with isolated.service.reads() as session:
        about = select(Finding.organization_id).where(Finding.resolved_at.is_(None))
        left = set(await session.scalars(about))
    assert left == {"webhook:alone", acme.id, globex.id}


async def test_a_change_in_progress_is_not_drift(isolated: Deployment) -> None:
    organizations = [await isolated.create_organization(name) for name in ("acme", "globex")]
    people = [await organization.member("bob", ["support"]) for organization in organizations]
    done = asyncio.Event()

    async def change(number: int) -> int:
        made = 0
        while not done.is_set():
            for role in ("product", "developer"):
                answer = await organizations[number].change_roles(people[number], role)
                assert answer.status_code == 200, answer.text
                made += 1
        return made

    changing = [asyncio.create_task(change(number)) for number in range(2)]
    for _ in range(6):
        assert await compare_all(isolated) == {}
        for organization in organizations:
            result = await create_inspector(isolated).reconcile_tenant(organization.id)
            assert (result.found, result.problem) == (0, None)
    done.set()
    assert min(await asyncio.gather(*changing)) > 5


async def test_a_change_during_a_comparison_is_not_another_history(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await isolated.create_organization("acme")
    bob = await acme.member("bob", ["support"])
    meanwhile = iter(["product"])

    async def late(*arguments: Any) -> Comparison:
        for role in meanwhile:
            await acme.change_roles(bob, role)
        return await compare.compare(*arguments)

    monkeypatch.setattr(comparer, "compare", late)
    result = await create_inspector(isolated).reconcile_tenant(acme.id)
    assert (result.found, result.problem) == (0, None)


async def _recorded_differences(organization: Organization) -> int | None:
    async with organization.deployment.service.reads() as session:
        row = await session.get(Reconciliation, organization.id)
        return row.differences if row else None


async def _findings(organization: Organization) -> list[Finding]:
    async with organization.deployment.service.reads() as session:
        mine = select(Finding).where(
            Finding.organization_id == organization.id, Finding.kind == FindingKind.DRIFT
        )
        return list(await session.scalars(mine))


async def test_any_number_of_unknown_tenants_is_handled(acme: Organization) -> None:
    unknown = [Tenant("organization", f"nobody-{number}") for number in range(40_000)]
    inspector = create_inspector(acme.deployment)
    assert await inspector._organizations([*unknown, Tenant("organization", acme.id)]) == {acme.id}
    async with acme.deployment.service.sessions() as session:
        long_ago = await database_time(session) - timedelta(days=36_500)
    await save_agreement(acme.deployment.service.sessions, long_ago, {each.key for each in unknown})
