"""Why a user can do something, or why not and which changes would allow it."""

import json
from datetime import datetime, timedelta
from typing import Any

from teamaccess.relationships import Delete, Relationship
from teamaccess.storage import Channel, RoleAssignment, RoleId
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import register_resource
from tests.support.teams import Team


async def why(
    organization: Organization, who: Person, action: str, resource: str | None = None
) -> dict[str, Any]:
    """The answer that an auditor gets."""
    about = {"user": who.id, "action": action} | ({"resource": resource} if resource else {})
    answer = await organization.administrator.ask(
        "GET", f"{organization.path}/audit/why", params=about
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def test_a_direct_role_is_explained_with_its_giver_and_reason(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
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


async def test_both_sources_of_a_role_are_explained(acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    team = await Team.create(acme, "pay", "support")
    (await team.add_member(bob)).raise_for_status()
    found = await why(acme, bob, "refunds_create")
    assert [path["team"] for path in found["paths"]] == [None, "pay"]


async def test_a_suspension_is_explained_with_its_time_and_actor(acme: Organization) -> None:
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


async def test_a_removal_and_a_return_are_explained_with_their_reasons(acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    path = f"{acme.path}/members/{bob.id}"
    await acme.suspend(bob)
    body = {"reason": "It was found"}
    (await acme.administrator.ask("POST", f"{path}/reactivate", json=body)).raise_for_status()
    [way] = (await why(acme, bob, "refunds_create"))["paths"]
    assert way["reason"] == "It was found"
    body = {"reason": "They have left"}
    (await acme.administrator.ask("DELETE", path, json=body)).raise_for_status()
    change = (await why(acme, bob, "refunds_create"))["obstacle"]["change"]
    assert change["reason"] == "They have left"


async def test_a_removed_role_is_explained_with_the_remaining_ones(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", ["support"])
    (await acme.change_roles(bob, "product")).raise_for_status()
    obstacle = (await why(acme, bob, "refunds_create"))["obstacle"]
    assert obstacle["code"] == "ended"
    assert obstacle["relationship"] == f"organization:{acme.id}#support@user:{bob.id}"
    assert "Their roles: product" in obstacle["sentence"]


async def test_a_lost_team_membership_is_the_cause_and_not_an_older_role(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", ["support"])
    (await acme.change_roles(bob)).raise_for_status()
    team = await Team.create(acme, "pay", "support")
    (await team.add_member(bob)).raise_for_status()
    (await team.remove_member(bob)).raise_for_status()
    obstacle = (await why(acme, bob, "refunds_create"))["obstacle"]
    assert obstacle["relationship"] == f"team:{acme.id}/pay#member@user:{bob.id}"


async def test_an_expiry_is_explained_before_the_sweeper_handles_it(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", ["product"])
    passed = await acme.deployment.service.now() - timedelta(hours=1)
    async with acme.deployment.operator(acme.id) as change:
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


async def test_custom_roles_are_named(acme: Organization) -> None:
    body = {"id": "own", "name": "Own", "actions": ["webhooks_access"]}
    await acme.administrator.ask("POST", f"{acme.path}/roles", json=body)
    bob = await acme.member("bob", ["own"])
    obstacle = (await why(acme, bob, "refunds_create"))["obstacle"]
    assert obstacle["code"] == "role_lacks_action"
    assert "Their roles: own" in obstacle["sentence"]


async def test_a_relationship_that_spicedb_lost_is_explained_as_drift(acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    lost = f"organization:{acme.id}#support@user:{bob.id}"
    await acme.deployment.service.engine.write([Delete(Relationship.parse(lost))])
    found = await why(acme, bob, "refunds_create")
    assert found["obstacle"]["code"] == "not_enforced"
    assert found["evidence"]["missing"] == 1


async def test_a_stranger_is_named_only_by_id(acme: Organization, globex: Organization) -> None:
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


async def test_a_user_without_an_address_is_named_by_name_and_id(acme: Organization) -> None:
    account = await acme.create_service_account("support")
    (
        await acme.administrator.ask("DELETE", f"{acme.path}/service-accounts/{account.id}")
    ).raise_for_status()
    gone = (await why(acme, account, "refunds_create"))["obstacle"]
    assert gone["sentence"] == f'"Nightly job" ({account.id}) is no longer an active member.'


async def test_four_eyes_are_explained_with_the_registration(acme: Organization) -> None:
    (await register_resource(acme, "transfer:t1", creator=acme.administrator)).raise_for_status()
    obstacle = (await why(acme, acme.administrator, "authorize", "transfer:t1"))["obstacle"]
    assert obstacle["code"] == "four_eyes"
    assert obstacle["relationship"].startswith(f"transfer:{acme.id}/t1#creator@user:")


async def test_a_path_through_a_grant_names_the_resource(acme: Organization) -> None:
    (await register_resource(acme, "webhook:wh_1")).raise_for_status()
    found = await why(acme, acme.administrator, "edit", "webhook:wh_1")
    assert found["allowed"]
    links = [link["relationship"] for link in found["paths"][0]["links"]]
    assert links[-1] == f"webhook:{acme.id}/wh_1#organization@organization:{acme.id}"
