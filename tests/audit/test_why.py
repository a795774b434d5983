"""Why somebody can, or why not and what would change that."""

import json
from datetime import datetime, timedelta
from typing import Any

from teamaccess.relationships import Delete, Relationship
from teamaccess.storage import Channel, RoleAssignment, RoleId
from tests.support.machines import service_account
from tests.support.objects import register
from tests.support.steps import enlist
from tests.support.teams import Crew
from tests.support.world import Person, Team


async def why(team: Team, who: Person, action: str, resource: str | None = None) -> dict[str, Any]:
    """The answer that an auditor gets."""
    about = {"user": who.id, "action": action} | ({"resource": resource} if resource else {})
    answer = await team.administrator.ask("GET", f"{team.path}/audit/why", params=about)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def test_a_role_of_ones_own_is_told_with_who_gave_it_and_the_reason(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]
    body = {"roles": [{"role": "support"}], "reason": "Case 4711"}
    url = f"{acme.path}/members/{bob.id}/roles"
    (await acme.administrator.ask("PUT", url, json=body)).raise_for_status()
    found = await why(acme, bob, "refunds_create")
    assert found["allowed"]
    [path] = found["paths"]
    assert (path["role"], path["team"], path["until"]) == ("support", None, None)
    assert path["granted_by"] == f"user:{acme.administrator.id}"
    assert (path["reason"], path["channel"]) == ("Case 4711", Channel.API)
    assert [link["relationship"] for link in path["links"]] == [
        f"organization:{acme.id}#member@user:{bob.id}",
        f"organization:{acme.id}#support@user:{bob.id}",
    ]
    assert found["evidence"]["position"] == path["position"]


async def test_both_ways_of_who_has_a_role_twice_are_told(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    crew = await Crew.made(acme, "pay", "support")
    (await crew.put(bob)).raise_for_status()
    found = await why(acme, bob, "refunds_create")
    assert [path["team"] for path in found["paths"]] == [None, "pay"]


async def test_who_was_suspended_is_told_since_when_and_by_whom(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    path = f"{acme.path}/members/{bob.id}/suspend"
    body = {"reason": "The laptop is lost"}
    (await acme.administrator.ask("POST", path, json=body)).raise_for_status()
    found = await why(acme, bob, "refunds_create")
    assert not found["allowed"]
    assert found["paths"] == []
    obstacle = found["obstacle"]
    assert obstacle["code"] == "no_active_member"
    assert obstacle["change"]["actor"] == f"user:{acme.administrator.id}"
    assert obstacle["change"]["position"] == len(await acme.ledger())
    assert obstacle["change"]["reason"] == "The laptop is lost"
    assert obstacle["sentence"] == f"{bob.email} is no longer an active member."
    named = {each["user"]: each["email"] for each in found["people"]}
    assert named[acme.administrator.id] == acme.administrator.email


async def test_a_removal_and_a_return_are_told_with_their_reasons(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    path = f"{acme.path}/members/{bob.id}"
    await acme.act("suspend", bob)
    body = {"reason": "It was found"}
    (await acme.administrator.ask("POST", f"{path}/reactivate", json=body)).raise_for_status()
    [way] = (await why(acme, bob, "refunds_create"))["paths"]
    assert way["reason"] == "It was found"
    body = {"reason": "They have left"}
    (await acme.administrator.ask("DELETE", path, json=body)).raise_for_status()
    change = (await why(acme, bob, "refunds_create"))["obstacle"]["change"]
    assert change["reason"] == "They have left"


async def test_a_role_that_was_taken_away_is_told_with_those_that_are_left(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    (await acme.change_roles(bob, "product")).raise_for_status()
    obstacle = (await why(acme, bob, "refunds_create"))["obstacle"]
    assert obstacle["code"] == "ended"
    assert obstacle["relationship"] == f"organization:{acme.id}#support@user:{bob.id}"
    assert "Their roles: product" in obstacle["sentence"]


async def test_a_place_in_a_team_that_was_lost_is_the_obstacle_and_not_an_older_role(
    acme: Team,
) -> None:
    bob = await acme.member("bob", ["support"])
    (await acme.change_roles(bob)).raise_for_status()
    crew = await Crew.made(acme, "pay", "support")
    (await crew.put(bob)).raise_for_status()
    (await crew.take(bob)).raise_for_status()
    obstacle = (await why(acme, bob, "refunds_create"))["obstacle"]
    assert obstacle["relationship"] == f"team:{acme.id}/pay#member@user:{bob.id}"


async def test_an_end_that_has_come_is_told_as_one_before_anybody_sweeps_it(acme: Team) -> None:
    bob = await acme.member("bob", ["product"])
    passed = await acme.world.service.now() - timedelta(hours=1)
    async with acme.world.operator(acme.id) as change:
        change.session.add(
            RoleAssignment(
                organization_id=acme.id,
                user_id=bob.id,
                role=RoleId("support"),
                expires_at=passed,
            )
        )
    obstacle = (await why(acme, bob, "refunds_create"))["obstacle"]
    assert obstacle["code"] == "ended"
    assert datetime.fromisoformat(obstacle["expired_at"]) == passed


async def test_roles_of_the_organization_s_own_are_named_too(acme: Team) -> None:
    body = {"id": "own", "name": "Own", "actions": ["webhooks_access"]}
    await acme.administrator.ask("POST", f"{acme.path}/roles", json=body)
    bob = await acme.member("bob", ["own"])
    obstacle = (await why(acme, bob, "refunds_create"))["obstacle"]
    assert obstacle["code"] == "role_lacks_action"
    assert "Their roles: own" in obstacle["sentence"]


async def test_what_spicedb_has_lost_is_told_as_that(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    lost = f"organization:{acme.id}#support@user:{bob.id}"
    await acme.world.service.engine.write([Delete(Relationship.parse(lost))])
    found = await why(acme, bob, "refunds_create")
    assert found["obstacle"]["code"] == "not_enforced"
    assert found["evidence"]["missing"] == 1


async def test_a_stranger_has_never_been_a_member_and_is_named_by_id_alone(
    acme: Team, globex: Team
) -> None:
    stranger = globex.administrator
    for action in ("refunds_create", "users_invite"):
        found = await why(acme, stranger, action)
        assert found["obstacle"]["code"] == "not_a_member"
        assert found["obstacle"]["sentence"].startswith(stranger.id)
        assert found["remedies"]
        assert stranger.email not in json.dumps(found)
    await acme.administrator.ask(
        "POST",
        f"{acme.path}/invitations",
        json={"email": stranger.email, "roles": ["product"]},
    )
    assert stranger.email in json.dumps((await why(acme, stranger, "refunds_create"))["remedies"])


async def test_who_has_no_address_is_told_by_name_and_id(acme: Team) -> None:
    machine = await service_account(acme, "support")
    (
        await acme.administrator.ask("DELETE", f"{acme.path}/service-accounts/{machine.id}")
    ).raise_for_status()
    gone = (await why(acme, machine, "refunds_create"))["obstacle"]
    assert gone["sentence"] == f'"Nightly job" ({machine.id}) is no longer an active member.'


async def test_four_eyes_are_told_with_the_registration(acme: Team) -> None:
    (await register(acme, "transfer:t1", creator=acme.administrator)).raise_for_status()
    obstacle = (await why(acme, acme.administrator, "authorize", "transfer:t1"))["obstacle"]
    assert obstacle["code"] == "four_eyes"
    assert obstacle["relationship"].startswith(f"transfer:{acme.id}/t1#creator@user:")


async def test_an_object_s_owner_path_names_the_object(acme: Team) -> None:
    (await register(acme, "webhook:wh_1")).raise_for_status()
    found = await why(acme, acme.administrator, "edit", "webhook:wh_1")
    assert found["allowed"]
    links = [link["relationship"] for link in found["paths"][0]["links"]]
    assert links[-1] == f"webhook:{acme.id}/wh_1#organization@organization:{acme.id}"
