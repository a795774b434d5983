"""Lists as of a past time or position, from the ledger and the events."""

from typing import Any

import httpx

from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, get_grants, grant_to, remove_resource, set_grants
from tests.support.responses import refused
from tests.support.teams import Team

LISTS = ("members", "teams", "teams/pay/members", "roles", "invitations")


async def request_list(
    organization: Organization, name: str, at: object = None, by: Person | None = None, **more: Any
) -> httpx.Response:
    """Request a list, of the present or of a past time."""
    given = {} if at is None else {"at": str(at)}
    caller = by or organization.administrator
    return await caller.ask("GET", f"{organization.path}/{name}", params={**given, **more})


async def items(organization: Organization, name: str, at: object = None, **more: Any) -> Any:
    """The items of a list, without the fields that have no history."""
    answer = await request_list(organization, name, at, **more)
    assert answer.status_code == 200, answer.text
    found = answer.json()["items"]
    for item in found:
        item.pop("last_active_at", None)
        item.pop("selectors", None)
        item.pop("could_add", None)
        for of_mail in ("delivery", "delivery_at", "delivery_problem"):
            item.pop(of_mail, None)
        if "holders" in item:
            item["holders"] = {key: item["holders"][key] for key in ("members", "teams")}
    return found


async def test_every_list_says_later_what_it_said_then(acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    eve = await acme.member("eve", ["developer"])
    kim = (await acme.add_members({"kim": []}))["kim"]
    team = await Team.create(acme, "pay", "support")
    (await team.add_member(bob)).raise_for_status()
    (await team.add_member(kim)).raise_for_status()
    role = {"id": "refunder", "name": "Refunder", "actions": ["refunds_create"]}
    (await acme.administrator.ask("POST", f"{acme.path}/roles", json=role)).raise_for_status()
    (await acme.change_roles(eve, "developer", "refunder")).raise_for_status()
    (await acme.invite("zoe", ["support"])).raise_for_status()
    (await acme.invite("lou", ["support"])).raise_for_status()
    await add_resources(acme, "webhook:wh_1")
    both = [grant_to(eve, "edit"), grant_to("pay", "edit")]
    (await set_grants(acme, "webhook:wh_1", *both)).raise_for_status()
    (await acme.suspend(kim)).raise_for_status()
    then = {name: await items(acme, name) for name in LISTS}
    grants = (await get_grants(acme, "webhook:wh_1")).json()["grants"]
    at = (await acme.deployment.service.now()).isoformat()
    position = len(await acme.ledger())

    (await acme.reactivate(kim)).raise_for_status()
    (await acme.remove(bob)).raise_for_status()
    (await acme.change_roles(eve, "product")).raise_for_status()
    (await acme.suspend(eve)).raise_for_status()
    (await acme.accept("zoe")).raise_for_status()
    await acme.administrator.ask(
        "DELETE", f"{acme.path}/invitations/{then['invitations'][0]['id']}"
    )
    await acme.administrator.ask("DELETE", f"{acme.path}/roles/refunder")
    await acme.administrator.ask("PATCH", f"{acme.path}/teams/pay", json={"name": "Other"})
    (await team.delete()).raise_for_status()
    (await remove_resource(acme, "webhook:wh_1")).raise_for_status()

    for moment in (at, position):
        for name in LISTS:
            was = await items(acme, name, moment)
            if name == "roles":  # the name of a deleted role is not kept
                [role] = [each for each in was if each["id"] == "refunder"]
                role["name"] = "Refunder"
            assert [_without_times(each) for each in was] == [
                _without_times(each) for each in then[name]
            ], name
        path = f"resources/webhook/wh_1/grants?at={str(moment).replace('+', '%2B')}"
        answer = await acme.administrator.ask("GET", f"{acme.path}/{path}")
        assert [_without_times(each) for each in answer.json()["grants"]] == [
            _without_times(g) for g in grants
        ]
    refused(await get_grants(acme, "webhook:wh_1"), 404, "unknown_resource")
    refused(await request_list(acme, "teams/pay/members"), 404, "unknown_team")


TIMES = {"joined_at", "granted_at", "created_at", "suspended_at", "sent_at", "accepted_at"}


def _without_times(item: Any) -> Any:
    """The item without times, which the rows and the ledger take some milliseconds apart."""
    if isinstance(item, dict):
        return {
            key: value is not None if key in TIMES else _without_times(value)
            for key, value in item.items()
        }
    return [_without_times(each) for each in item] if isinstance(item, list) else item


async def test_past_lists_take_filters_and_pages(acme: Organization) -> None:
    people = await acme.add_members({f"p{number}": ["support"] for number in range(5)})
    eve = (await acme.add_members({"eve": ["developer"]}))["eve"]
    (await acme.suspend(people["p3"])).raise_for_status()
    position = len(await acme.ledger())
    await acme.remove(people["p1"])
    await acme.remove(eve)
    found = await items(acme, "members", position, role="support")
    assert {each["user"] for each in found} == {each.id for each in people.values()}
    [suspended] = await items(acme, "members", position, status="suspended")
    assert suspended["user"] == people["p3"].id
    first = (await request_list(acme, "members", position, limit=4)).json()
    rest = (
        await request_list(acme, "members", position, limit=4, cursor=first["next_cursor"])
    ).json()
    assert (len(first["items"]), len(rest["items"])) == (4, 3)
    assert rest["next_cursor"] is None
    refused(await request_list(acme, "members", position, inactive_days=3), 400, "only_at_present")
    refused(await request_list(acme, "members", position, role="king"), 404, "role_not_found")


async def test_the_future_and_the_time_before_the_organization_are_refused(
    acme: Organization,
) -> None:
    for name in LISTS:
        refused(await request_list(acme, name, "2999-01-01T00:00:00Z"), 400, "not_yet")
        refused(await request_list(acme, name, "2001-01-01T00:00:00Z"), 400, "before_it_began")
        refused(await request_list(acme, name, 10**30), 400, "position_ahead")
        refused(await request_list(acme, name, 0), 400, "position_ahead")
        refused(await request_list(acme, name, "yesterday"), 400, "invalid_request")


async def test_past_lists_need_the_permission_to_audit(
    acme: Organization, globex: Organization
) -> None:
    await acme.add_custom_role("reading", acme.deployment.service.catalog.guards["view_members"])
    bob = await acme.member("bob", ["reading"])
    position = len(await acme.ledger())
    for name in LISTS:
        refused(await request_list(acme, name, position, by=bob), 403, "missing_permission")
        stranger = globex.administrator
        refused(await request_list(acme, name, position, by=stranger), 404, "unknown_organization")
