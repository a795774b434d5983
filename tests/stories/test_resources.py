"""Resources that services register: one by one or a thousand at once.

Removed ids are never used again.
"""

import json
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from tests.support.agreement import assert_agreement, spicedb_relationships
from tests.support.organization import Organization
from tests.support.resources import (
    add_resources,
    batch_item,
    change_resources,
    get_grants,
    grant_to,
    register_resource,
    remove_resource,
    resource_path,
    set_grants,
)
from tests.support.responses import refused
from tests.support.spicedb_proxy import running_worker, wait_until

PENDING = (
    "SELECT count(*) FROM ledger_applications WHERE organization_id = :id AND status <> 'applied'"
)


async def everything_is_applied(organization: Organization) -> bool:
    """Whether SpiceDB has every ledger entry."""
    async with organization.deployment.service.reads() as session:
        return bool(await session.scalar(text(PENDING), {"id": organization.id}) == 0)


async def test_a_role_allows_its_actions_on_every_registered_resource(
    acme: Organization,
) -> None:
    people = await acme.add_members({"dev": ["developer"], "sue": ["support"]})
    assert not await acme.can(people["dev"], "edit", on="webhook:wh_1")

    answer = await register_resource(acme, "webhook:wh_1")

    assert answer.json() | {"registered_at": None} == {
        "type": "webhook",
        "id": "wh_1",
        "creator": None,
        "registered_at": None,
    }
    assert (await acme.ledger())[-1] == [
        f"TOUCH webhook:{acme.id}/wh_1#organization@organization:{acme.id}"
    ]
    assert await acme.can(people["dev"], "edit", on="webhook:wh_1")
    assert not await acme.can(people["sue"], "edit", on="webhook:wh_1")
    assert await acme.can(acme.administrator, "delete", on="webhook:wh_1")
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("resource_registered", f"webhook:{acme.id}/wh_1")


async def test_registering_is_idempotent(acme: Organization) -> None:
    first = await register_resource(acme, "transfer:t_1", creator=acme.administrator)
    before = await acme.ledger()
    again = await register_resource(acme, "transfer:t_1", creator=acme.administrator)
    assert (again.status_code, again.json()) == (200, first.json())
    assert await acme.ledger() == before
    assert [each.kind for each in await acme.events()].count("resource_registered") == 1


async def test_removing_a_resource_removes_all_its_relationships(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    before = await spicedb_relationships(acme)
    await add_resources(acme, "webhook:wh_1")
    await set_grants(acme, "webhook:wh_1", grant_to(bob, "edit"))
    assert await acme.can(bob, "edit", on="webhook:wh_1")

    assert (await remove_resource(acme, "webhook:wh_1")).status_code == 204

    assert await spicedb_relationships(acme) == before
    assert not await acme.can(bob, "edit", on="webhook:wh_1")
    assert not await acme.can(acme.administrator, "edit", on="webhook:wh_1")
    shown = await acme.administrator.ask("GET", resource_path(acme, "webhook:wh_1"))
    refused(shown, 404, "unknown_resource")
    refused(await get_grants(acme, "webhook:wh_1"), 404, "unknown_resource")
    refused(await set_grants(acme, "webhook:wh_1", grant_to(bob, "edit")), 404, "unknown_resource")
    assert (await remove_resource(acme, "webhook:wh_1")).status_code == 204
    assert [each.kind for each in await acme.events()].count("resource_removed") == 1
    await assert_agreement(acme)


async def test_a_removed_id_is_never_registered_again(acme: Organization) -> None:
    await add_resources(acme, "webhook:wh_1")
    await remove_resource(acme, "webhook:wh_1")
    refused(await register_resource(acme, "webhook:wh_1"), 409, "resource_removed")
    answer = await change_resources(acme, [batch_item("webhook:wh_2"), batch_item("webhook:wh_1")])
    refused(answer, 409, "resource_removed")
    assert not any(each.resource.type == "webhook" for each in await spicedb_relationships(acme))


async def test_another_tenant_may_use_the_same_resource_ids(
    acme: Organization, globex: Organization
) -> None:
    for organization in (acme, globex):
        await add_resources(organization, "webhook:wh_1")
    await remove_resource(globex, "webhook:wh_1")
    assert await acme.can(acme.administrator, "edit", on="webhook:wh_1")
    others = await globex.administrator.ask("GET", resource_path(acme, "webhook:wh_1"))
    refused(others, 404, "unknown_organization")
    stranger = await register_resource(acme, "webhook:wh_2", by=globex.administrator)
    refused(stranger, 404, "unknown_organization")


@pytest.mark.parametrize(
    ("name", "creator", "status", "code"),
    [
        ("invoice:i_1", False, 404, "unknown_resource_type"),
        ("organization:x", False, 404, "unknown_resource_type"),
        ("webhook:a.b", False, 400, "invalid_resource_id"),
        ("webhook:" + "x" * 129, False, 400, "invalid_resource_id"),
        ("webhook:wh_1", True, 400, "creator_refused"),
        ("transfer:t_1", False, 400, "creator_demanded"),
    ],
)
async def test_each_reason_that_prevents_registration_has_its_own_error(
    acme: Organization, name: str, creator: bool, status: int, code: str
) -> None:
    before = await acme.ledger()
    who = acme.administrator if creator else None
    refused(await register_resource(acme, name, creator=who), status, code)
    assert await acme.ledger() == before


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{", b"0", b'{"creator": 1}', b'{"creator": ""}', b'{"unknown": 1}', b'"x"', b"\xff"],
)
async def test_a_malformed_body_registers_nothing(acme: Organization, body: bytes) -> None:
    answer = await acme.administrator.ask("PUT", resource_path(acme, "webhook:wh_1"), content=body)
    refused(answer, 400, "invalid_request")
    assert not any(each.resource.type == "webhook" for each in await spicedb_relationships(acme))


async def test_registering_needs_no_body(acme: Organization) -> None:
    bodies: list[dict[str, Any]] = [{}, {"json": {}}, {"json": {"creator": None}}]
    for number, sent in enumerate(bodies):
        name = resource_path(acme, f"webhook:wh_{number}")
        assert (await acme.administrator.ask("PUT", name, **sent)).status_code == 200


async def test_a_caller_who_may_not_register_learns_the_missing_permission(
    acme: Organization,
) -> None:
    dev = (await acme.add_members({"dev": ["developer"]}))["dev"]
    for answer in (
        await register_resource(acme, "webhook:wh_1", by=dev),
        await remove_resource(acme, "webhook:wh_1", by=dev),
        await change_resources(acme, [batch_item("webhook:wh_1")], by=dev),
        await set_grants(acme, "webhook:wh_1", grant_to(dev, "edit"), by=dev),
    ):
        assert refused(answer, 403, "missing_permission")["permission"] == "resources_register"


async def test_resources_are_listed_by_type_in_pages(acme: Organization) -> None:
    sue = (await acme.add_members({"sue": ["support"]}))["sue"]
    await add_resources(acme, *(f"webhook:wh_{number}" for number in range(5)), "link:l_1")
    await remove_resource(acme, "webhook:wh_2")
    url, found, cursor = f"{acme.path}/resources/webhook?limit=2", [], ""
    while True:
        shown = (await sue.ask("GET", url + cursor)).json()
        found += [each["id"] for each in shown["items"]]
        if shown["next_cursor"] is None:
            break
        cursor = f"&cursor={shown['next_cursor']}"
    assert found == ["wh_0", "wh_1", "wh_3", "wh_4"]
    refused(await sue.ask("GET", f"{acme.path}/resources/invoice"), 404, "unknown_resource_type")


async def test_a_batch_reports_each_result_and_changes_nothing_the_second_time(
    acme: Organization,
) -> None:
    await add_resources(acme, "webhook:old", "webhook:kept")
    wanted = [
        batch_item("webhook:new"),
        batch_item("webhook:kept"),
        batch_item("webhook:old", "remove"),
        batch_item("transfer:t_1", creator=acme.administrator),
    ]
    before = len(await acme.ledger())

    first, second = [await change_resources(acme, wanted) for _ in range(2)]

    outcomes = [[each["outcome"] for each in answer.json()["items"]] for answer in (first, second)]
    assert outcomes == [
        ["registered", "already_registered", "removed", "registered"],
        ["already_registered", "already_registered", "already_removed", "already_registered"],
    ]
    assert [each["id"] for each in first.json()["items"]] == ["new", "kept", "old", "t_1"]
    assert len(await acme.ledger()) == before + 1
    reported = [each for each in await acme.events() if each.kind == "resources_changed"]
    assert [each.details for each in reported] == [{"registered": 2, "removed": 1}]
    await assert_agreement(acme)


async def test_a_batch_with_one_mistake_changes_nothing(acme: Organization) -> None:
    await add_resources(acme, "webhook:wh_1")
    before = await acme.ledger()
    for wrong, status, code in (
        (batch_item("webhook:never", "remove"), 404, "unknown_resource"),
        (batch_item("webhook:wh_1"), 400, "resource_twice"),
        (batch_item("invoice:i_1"), 404, "unknown_resource_type"),
        (batch_item("transfer:t_1"), 400, "creator_demanded"),
        (batch_item("webhook:wh_3", creator=acme.administrator), 400, "creator_refused"),
        (batch_item("webhook:a/b"), 400, "invalid_resource_id"),
        (batch_item("webhook:wh_4", "remove", acme.administrator), 400, "invalid_request"),
        (batch_item("webhook:wh_4", "restore"), 400, "invalid_request"),
        (batch_item("transfer:t_1") | {"creator": "usr_nobody"}, 404, "unknown_member"),
    ):
        wanted = [batch_item("webhook:wh_1", "remove"), batch_item("webhook:wh_2"), wrong]
        refused(await change_resources(acme, wanted), status, code)
    refused(await change_resources(acme, []), 400, "invalid_request")
    refused(
        await change_resources(acme, [batch_item(f"webhook:w{n}") for n in range(1001)]),
        400,
        "invalid_request",
    )
    assert await acme.ledger() == before


async def test_a_thousand_transfers_are_registered_and_removed_in_one_change_each(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["administrator"]}))["bob"]
    before, names = (
        await assert_agreement(acme),
        [f"transfer:{'t' * 58}{n:04}" for n in range(1000)],
    )
    positions = len(await acme.ledger())
    async with running_worker(acme.deployment):
        answer = await change_resources(acme, [batch_item(name, creator=bob) for name in names])
        assert answer.status_code in (200, 202), answer.text
        assert {each["outcome"] for each in answer.json()["items"]} == {"registered"}
        await wait_until(lambda: everything_is_applied(acme))
        assert len(await assert_agreement(acme)) == len(before) + 2000
        assert not await acme.can(bob, "authorize", on=names[-1])
        assert await acme.can(acme.administrator, "authorize", on=names[-1])

        half = [batch_item(name, "remove") for name in names[:500]]
        more = [batch_item(f"transfer:more_{n}", creator=bob) for n in range(500)]
        assert (await change_resources(acme, half + more)).is_success
        await wait_until(lambda: everything_is_applied(acme))
        assert len(await assert_agreement(acme)) == len(before) + 2000
        rest = [batch_item(name, "remove") for name in names[500:]]
        last = [batch_item(f"transfer:more_{n}", "remove") for n in range(500)]
        assert (await change_resources(acme, rest + last)).is_success
        await wait_until(lambda: everything_is_applied(acme))
    assert await assert_agreement(acme) == before
    sizes = [len(updates) for updates in (await acme.ledger())[positions:]]
    assert sizes == [900, 900, 200, 900, 100, 900, 100, 900, 900, 200]


async def test_deleting_an_organization_removes_its_resources(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    async with running_worker(acme.deployment):
        for start in range(0, 3000, 1000):
            some = [batch_item(f"webhook:{n}") for n in range(start, start + 1000, 2)]
            some += [
                batch_item(f"transfer:{n}", creator=bob) for n in range(start, start + 1000, 2)
            ]
            assert (await change_resources(acme, some)).is_success
        for name in ("webhook:0", "transfer:0"):
            await set_grants(acme, name, grant_to(bob, "view"))
        assert len(await assert_agreement(acme)) > 4500
        assert (await acme.administrator.ask("DELETE", acme.path)).is_success
        await wait_until(lambda: everything_is_applied(acme))
    assert await spicedb_relationships(acme) == set()
    assert await assert_agreement(acme) == set()


async def test_postgresql_refuses_to_delete_a_registered_resource(acme: Organization) -> None:
    await add_resources(acme, "transfer:t_1", creator=acme.administrator)
    await add_resources(acme, "webhook:gone")
    await remove_resource(acme, "webhook:gone")
    connection = await asyncpg.connect(acme.deployment.settings.database_url)
    try:
        for statement in (
            "UPDATE resources SET creator = NULL WHERE organization_id = $1 AND id = 't_1'",
            "UPDATE resources SET id = 't_2' WHERE organization_id = $1 AND id = 't_1'",
            "UPDATE resources SET removed_at = NULL WHERE organization_id = $1 AND id = 'gone'",
            "DELETE FROM resources WHERE organization_id = $1",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement, acme.id)
    finally:
        await connection.close()


def test_the_largest_batch_fits_into_a_request() -> None:
    one = {"operation": "register", "type": "x" * 64, "id": "y" * 64, "creator": "z" * 64}
    assert len(json.dumps({"items": [one] * 1000})) <= 256 * 1024
