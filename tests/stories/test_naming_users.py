"""A user is named by id, e-mail address or external id, wherever a path or a body names one."""

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import event

from teamaccess.audit.resolve_user import resolve_user
from teamaccess.directory.users.find import UnknownUser
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, get_grants, register_resource, set_grants
from tests.support.responses import refused
from tests.support.teams import Team


async def named(organization: Organization, person: Person, external_id: str) -> list[str]:
    """The names of a person: id, address, and an external id that they get now."""
    await organization.set_external_id(person, external_id)
    return [person.id, person.email, external_id]


async def test_a_member_is_put_into_a_team_by_address_and_by_external_id(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    await Team.create(acme, "pay", "support")
    for name in await named(acme, bob, f"crm-{acme.id}"):
        path = f"{acme.path}/teams/pay/members/{name}"
        put = await acme.administrator.ask("PUT", path)
        assert (put.status_code, put.json()["user"]) == (200, bob.id)
        assert (await acme.administrator.ask("DELETE", path)).status_code == 204


async def test_every_operation_on_a_member_takes_an_address(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    ana = acme.administrator
    path = f"{acme.path}/members/{bob.email.upper()}"
    assert (await ana.ask("GET", path)).json()["user"] == bob.id
    roles = {"roles": [{"role": "product"}]}
    assert (await ana.ask("PUT", f"{path}/roles", json=roles)).json()["user"] == bob.id
    assert (await ana.ask("PATCH", path, json={"expires_at": None})).status_code == 200
    assert (await ana.ask("POST", f"{path}/suspend")).status_code == 204
    assert (await ana.ask("POST", f"{path}/reactivate")).status_code == 204
    assert (await ana.ask("DELETE", path)).status_code == 204
    refused(await ana.ask("GET", path), 404, "unknown_member")


async def test_grants_creators_and_checks_take_addresses_and_external_ids(
    acme: Organization,
) -> None:
    people = await acme.add_members({"bob": [], "eve": []})
    bob, eve = people["bob"], people["eve"]
    await add_resources(acme, "webhook:wh_1")
    names = await named(acme, bob, f"crm-{acme.id}")
    for name in names:
        answer = await set_grants(acme, "webhook:wh_1", {"action": "edit", "user": name})
        assert [each["user"] for each in answer.json()["grants"]] == [bob.id]
    twice = [{"action": "edit", "user": name} for name in names[:2]]
    refused(await set_grants(acme, "webhook:wh_1", *twice), 400, "grant_twice")
    assert len((await get_grants(acme, "webhook:wh_1")).json()["grants"]) == 1
    path = f"{acme.path}/resources/transfer/t1"
    made = await acme.administrator.ask("PUT", path, json={"creator": eve.email})
    assert made.json()["creator"] == eve.id
    assert (await register_resource(acme, "transfer:t1", creator=eve)).status_code == 200
    body = {
        "checks": [
            {"organization": acme.id, "user": name, "action": "edit", "resource": "webhook:wh_1"}
            for name in names
        ]
    }
    checked = (await acme.administrator.ask("POST", "/v1/check", json=body)).json()["checks"]
    assert [(each["user"], each["allowed"]) for each in checked] == [(bob.id, True)] * 3


async def test_an_address_never_names_a_user_whose_external_id_it_is(acme: Organization) -> None:
    people = await acme.add_members({"bob": ["support"], "mallory": ["product"]})
    bob, mallory = people["bob"], people["mallory"]
    await acme.set_external_id(mallory, bob.email)
    await add_resources(acme, "webhook:wh_1")
    await Team.create(acme, "pay", "support")
    ana = acme.administrator
    site = await acme.add_backend_account("users_access")
    (await acme.remove(bob)).raise_for_status()

    for name in (bob.email, bob.email.upper()):
        path = f"{acme.path}/members/{name}"
        refused(await ana.ask("GET", path), 404, "unknown_member")
        roles = {"roles": [{"role": "administrator"}]}
        refused(await ana.ask("PUT", f"{path}/roles", json=roles), 404, "unknown_member")
        refused(await ana.ask("DELETE", path), 404, "unknown_member")
        put = await ana.ask("PUT", f"{acme.path}/teams/pay/members/{name}")
        refused(put, 404, "unknown_member")
        answer = await set_grants(acme, "webhook:wh_1", {"action": "edit", "user": name})
        refused(answer, 404, "unknown_member")
        check = {"organization": acme.id, "user": name, "action": "users_access"}
        answer = await ana.ask("POST", "/v1/check", json={"checks": [check]})
        assert mallory.id not in answer.text
        plan = {"changes": [{"change": "remove", "user": name}]}
        refused(await ana.ask("POST", f"{acme.path}/audit/plan", json=plan), 404, "unknown_member")
        me = await site.on_behalf_of(quote(name)).ask("GET", "/v1/me")
        refused(me, 404, "nobody_to_act_for")
    what = await ana.ask("GET", f"{acme.path}/audit/what-can", params={"user": bob.email})
    assert what.json()["evidence"]["query"]["user"] == bob.id  # a past member


async def test_the_id_of_a_past_member_never_names_a_user_whose_external_id_it_is(
    acme: Organization,
) -> None:
    people = await acme.add_members({"bob": ["support"], "mallory": ["product"]})
    bob, mallory = people["bob"], people["mallory"]
    await acme.set_external_id(mallory, bob.id)
    site = await acme.add_backend_account("users_access")
    (await acme.remove(bob)).raise_for_status()
    path = f"{acme.path}/members/{bob.id}"
    refused(await acme.administrator.ask("GET", path), 404, "unknown_member")
    refused(await site.on_behalf_of(bob.id).ask("GET", "/v1/me"), 404, "nobody_to_act_for")


@pytest.mark.parametrize("form", ["{}@idp.example", "usr_{:0>20.20}", "external:{}", "crm-{}"])
async def test_a_prefix_names_an_external_id_of_any_form(acme: Organization, form: str) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    ana = acme.administrator
    external = form.format(acme.id.encode().hex()[-20:])
    await acme.set_external_id(bob, external)
    name = f"external:{external}"
    path = f"{acme.path}/members/{name}"
    assert (await ana.ask("GET", path)).json()["user"] == bob.id
    roles = {"roles": [{"role": "product"}]}
    assert (await ana.ask("PUT", f"{path}/roles", json=roles)).json()["user"] == bob.id
    what = await ana.ask("GET", f"{acme.path}/audit/what-can", params={"user": name})
    assert what.json()["evidence"]["query"]["user"] == bob.id
    plan = {"changes": [{"change": "remove", "user": name}]}
    planned = await ana.ask("POST", f"{acme.path}/audit/plan", json=plan)
    assert planned.is_success, planned.text
    assert bob.id in planned.text
    site = await acme.add_backend_account("users_access")
    me = await site.on_behalf_of(name).ask("GET", "/v1/me")
    assert me.json()["id"] == bob.id
    if not form.startswith("crm"):
        refused(await ana.ask("GET", f"{acme.path}/members/{external}"), 404, "unknown_member")


async def test_a_backend_names_a_member_by_address(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    site = await acme.add_backend_account("users_access")
    me = await site.on_behalf_of(bob.email.upper()).ask("GET", "/v1/me")
    assert me.json()["id"] == bob.id


async def test_an_id_comes_before_another_members_external_id(acme: Organization) -> None:
    people = await acme.add_members({"bob": [], "eve": []})
    await named(acme, people["eve"], people["bob"].id)
    found = await acme.administrator.ask("GET", f"{acme.path}/members/{people['bob'].id}")
    assert found.json()["user"] == people["bob"].id


async def test_names_of_other_tenants_are_answered_like_names_that_do_not_exist(
    acme: Organization, globex: Organization
) -> None:
    stranger = (await globex.add_members({"kim": []}))["kim"]
    names = await named(globex, stranger, f"crm-{globex.id}")
    ana = acme.administrator
    for name in [*names[1:], "nobody@example.com", "crm-nobody"]:
        refused(await ana.ask("GET", f"{acme.path}/members/{name}"), 404, "unknown_member")
        refused(await ana.ask("POST", f"{acme.path}/members/{name}/suspend"), 404, "unknown_member")
    for name in (names[2], "crm-nobody"):
        where = f"{acme.path}/audit/what-can?user={name}"
        refused(await ana.ask("GET", where), 404, "unknown_user")


async def test_a_member_without_rights_does_not_learn_whose_address_it_is(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    for name in (acme.administrator.email, "nobody@example.com"):
        path = f"{acme.path}/members/{name}/suspend"
        refused(await bob.ask("POST", path), 403, "missing_permission")
        check = {"organization": acme.id, "user": name, "action": "refunds_create"}
        answer = await bob.ask("POST", "/v1/check", json={"checks": [check]})
        refused(answer, 403, "missing_permission")


async def test_audit_questions_take_addresses_and_external_ids(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    names = await named(acme, bob, f"crm-{acme.id}")
    for name in [*names, bob.email.upper()]:
        asked = {"user": name, "action": "refunds_create"}
        why = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=asked)
        assert why.status_code == 200, why.text
        assert why.json()["allowed"]
        assert why.json()["evidence"]["query"]["user"] == bob.id
        what = await acme.administrator.ask(
            "GET", f"{acme.path}/audit/what-can", params={"user": name}
        )
        assert "refunds_create" in {each["action"] for each in what.json()["items"]}
    (await acme.remove(bob)).raise_for_status()
    for name in names:  # an auditor asks about people who have left, too
        asked = {"user": name, "action": "refunds_create"}
        why = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=asked)
        assert why.json()["obstacle"]["code"] == "no_active_member", why.text


async def test_audit_questions_do_not_reveal_users_of_other_tenants(
    acme: Organization, globex: Organization
) -> None:
    stranger = (await globex.add_members({"kim": []}))["kim"]
    _, *theirs = await named(globex, stranger, f"crm-{globex.id}")
    answers = []
    for name in [*theirs, "nobody@example.com", "crm-nobody"]:
        for question in (f"why?action=refunds_create&user={name}", f"what-can?user={name}"):
            answer = await acme.administrator.ask("GET", f"{acme.path}/audit/{question}")
            problem = refused(answer, 404, "unknown_user")
            answers.append(
                {key: str(problem[key]).replace(name, "") for key in problem if key != "instance"}
            )
    assert all(answer.keys() == answers[0].keys() for answer in answers)
    assert {answer["detail"] for answer in answers} == {"There is no user ."}


async def test_a_name_of_another_tenant_takes_the_statements_of_an_unknown_one(
    acme: Organization, globex: Organization
) -> None:
    stranger = (await globex.add_members({"kim": []}))["kim"]
    _, *theirs = await named(globex, stranger, f"crm-{globex.id}")
    executed: list[list[str]] = []

    def note(*arguments: Any) -> None:
        executed[-1].append(arguments[2])

    async with acme.deployment.service.reads() as session:
        connection = (await session.connection()).sync_connection
        event.listen(connection, "before_cursor_execute", note)
        for name in (*theirs, "nobody@example.com", "crm-nobody"):
            executed.append([])
            with pytest.raises(UnknownUser):
                await resolve_user(session, acme.id, name)
    (address, external_id, no_address, no_id) = executed
    assert address == no_address
    assert external_id == no_id


async def test_a_space_instead_of_a_plus_in_an_address_is_refused_with_the_cause(
    acme: Organization,
) -> None:
    where = f"{acme.path}/audit/what-can?user=bob+pay@acme.example"
    answer = refused(await acme.administrator.ask("GET", where), 400, "no_user_id")
    assert "%2B" in answer["detail"]
    where = where.replace("+", "%2B")
    refused(await acme.administrator.ask("GET", where), 404, "unknown_user")


async def test_only_those_who_may_audit_learn_what_a_name_stands_for(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    for name in (acme.administrator.email, "nobody@example.com", "x y@example.com"):
        answer = await bob.ask("GET", f"{acme.path}/audit/what-can", params={"user": name})
        refused(answer, 403, "missing_permission")
