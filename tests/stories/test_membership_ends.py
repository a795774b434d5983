"""A membership with an expiry: set, postponed, brought forward, and refused where it is not allowed."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)


async def _ends(
    organization: Organization, target: Person, at: datetime | None, by: Person | None = None
) -> httpx.Response:
    body = {"expires_at": at.isoformat() if at else None, "reason": "the project ends"}
    who = by or organization.administrator
    return await who.ask("PATCH", f"{organization.path}/members/{target.id}", json=body)


async def test_a_membership_expires_at_its_time_and_can_be_extended(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    gate = f"organization:{acme.id}#member@user:{bob.id}"

    answer = await _ends(acme, bob, SOON)
    assert answer.status_code == 200, answer.text
    assert datetime.fromisoformat(answer.json()["expires_at"]) == SOON
    ending = f"{gate}[expiration:{SOON:%Y-%m-%dT%H:%M:%SZ}]"
    assert (await acme.ledger())[-1] == [f"TOUCH {ending} WAS {gate}"]
    assert await acme.can(bob, "refunds_create")

    assert (await _ends(acme, bob, SOON + timedelta(days=1))).status_code == 200
    assert (await _ends(acme, bob, None)).json()["expires_at"] is None
    assert (await acme.ledger())[-1][0].startswith(f"TOUCH {gate} WAS")
    reported = [each.kind for each in await acme.events()]
    assert reported.count("membership_end_changed") == 3
    await assert_agreement(acme)


async def test_setting_the_same_expiry_changes_nothing(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    before = await acme.ledger()
    assert (await _ends(acme, bob, None)).status_code == 200
    assert await acme.ledger() == before


@pytest.mark.parametrize(("days", "code"), [(-1, "end_in_the_past"), (100 * 365, "end_too_far")])
async def test_an_expiry_must_be_in_the_future_and_not_too_far(
    acme: Organization, days: int, code: str
) -> None:
    bob = await acme.member("bob", roles=["support"])
    refused(await _ends(acme, bob, SOON + timedelta(days=days - 30)), 400, code)


async def test_the_membership_of_the_last_administrator_cannot_expire(acme: Organization) -> None:
    ana = acme.administrator
    refused(await _ends(acme, ana, SOON), 409, "last_administrator")


async def test_only_operators_extend_what_only_operators_give(acme: Organization) -> None:
    ben = (await acme.add_members({"ben": ["administrator"]}))["ben"]
    assert (await _ends(acme, ben, SOON)).status_code == 200
    refused(await _ends(acme, ben, SOON + timedelta(days=1)), 403, "operator_only_role")
    refused(await _ends(acme, ben, None), 403, "operator_only_role")
    assert (await _ends(acme, ben, SOON - timedelta(days=1))).status_code == 200


async def test_members_cannot_change_the_expiry_of_a_member_above_them(
    branch: Organization,
) -> None:
    people = await branch.add_members({"lea": ["lead"], "audrey": ["auditor"], "carl": ["clerk"]})
    lea = people["lea"]
    assert (await _ends(branch, people["carl"], SOON, by=lea)).status_code == 200
    refused(await _ends(branch, branch.administrator, SOON, by=lea), 403, "member_above_actor")
    refused(await _ends(branch, lea, SOON, by=people["carl"]), 403, "missing_permission")
