"""Decisions read rows under the lock, and again after an earlier part of the change has written them."""

import asyncio
from typing import Any

import httpx

from teamaccess.changes.opening import LOCK
from teamaccess.storage import FindingKind
from teamaccess.upkeep.findings import record_finding
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused


async def change_together(organization: Organization, *changes: dict[str, Any]) -> httpx.Response:
    """Plan the changes, and make them."""
    ana, body = organization.administrator, {"changes": list(changes)}
    plan = await ana.ask("POST", f"{organization.path}/audit/plan", json=body)
    assert plan.status_code == 200, plan.text
    tag = {"If-Match": plan.headers["ETag"]}
    return await ana.ask("POST", f"{organization.path}/changes", json=body, headers=tag)


async def test_roles_that_an_earlier_part_replaced_for_many_are_read_again(
    acme: Organization,
) -> None:
    """If the session kept rows with the deleted role, the member would keep the replacement."""
    bob = (await acme.add_members({"bob": []}))["bob"]
    await acme.add_custom_role("refunder", "refunds_create")
    made = await change_together(
        acme,
        {"change": "set_roles", "user": bob.id, "roles": ["refunder"]},
        {"change": "delete_role", "role": "refunder", "reassign": "support"},
        {"change": "set_roles", "user": bob.id, "roles": []},
    )
    assert made.status_code == 200, made.text
    assert (await acme.roles_by_member())[bob.id] == []
    assert not await acme.can(bob, "refunds_create")


async def test_a_finding_that_is_recorded_while_a_change_waits_stops_it(
    isolated: Deployment,
) -> None:
    """The finding must be looked up after the wait for the lock."""
    acme = await isolated.create_organization("acme")
    service = acme.deployment.service
    service.admission._admitted[acme.id, acme.administrator.id] = True
    async with service.sessions() as session:
        await session.execute(LOCK, {"organizations": [acme.id]})
        waiting = asyncio.create_task(acme.invite("eve", ["support"]))
        await asyncio.sleep(0.7)
        async with service.reads() as other:
            await record_finding(other, FindingKind.FOREIGN_SCHEMA, "*", {})
    refused(await waiting, 503, "foreign_schema_found")
