"""An organization always keeps an active administrator without expiry.

In Fintoc, only operators create one.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from teamaccess.directory.members.administrators import grant_administrator
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import sweep

SOON = (datetime.now(UTC) + timedelta(days=30)).isoformat()


async def set_roles(
    organization: Organization, target: Person, by: Person | None = None, **ends: str | None
) -> httpx.Response:
    """Replace a member's roles, each with its expiry."""
    body: dict[str, Any] = {
        "roles": [{"role": role, "expires_at": end} for role, end in ends.items()]
    }
    return await (by or organization.administrator).ask(
        "PUT", f"{organization.path}/members/{target.id}/roles", json=body
    )


@pytest.mark.parametrize("operation", ["demote", "end", "suspend", "remove", "leave"])
async def test_the_last_administrator_cannot_be_removed(
    initech: Organization, operation: str
) -> None:
    ana = initech.administrator
    await initech.add_members({"bob": ["write"]})
    before = await initech.ledger()
    operations = {
        "demote": lambda: set_roles(initech, ana, write=None),
        "end": lambda: set_roles(initech, ana, admin=SOON),
        "suspend": lambda: initech.suspend(ana),
        "remove": lambda: initech.remove(ana),
        "leave": lambda: ana.ask("POST", f"{initech.path}/leave"),
    }

    problem = refused(await operations[operation](), 409, "last_administrator")

    assert problem["user"] == ana.id
    assert await initech.ledger() == before
    assert await initech.can(ana, "members_invite")


@pytest.mark.parametrize("other", ["suspended", "temporary", "ended"])
async def test_suspended_and_temporary_administrators_do_not_count(
    initech: Organization, other: str
) -> None:
    suspended = ["bob"] if other == "suspended" else []
    bob = (await initech.add_members({"bob": ["admin"]}, suspended))["bob"]
    if other != "suspended":
        days = 30 if other == "temporary" else -1
        await initech.set_role_expiry(bob, "admin", datetime.now(UTC) + timedelta(days=days))

    left = await initech.administrator.ask("POST", f"{initech.path}/leave")

    refused(left, 409, "last_administrator")


@pytest.mark.parametrize("days", [30, -1])
async def test_an_administrator_whose_membership_expires_does_not_count(
    initech: Organization, days: int
) -> None:
    bob = (await initech.add_members({"bob": ["admin"]}))["bob"]
    await initech.set_membership_expiry(bob, datetime.now(UTC) + timedelta(days=days))

    left = await initech.administrator.ask("POST", f"{initech.path}/leave")

    refused(left, 409, "last_administrator")
    assert await sweep(initech) == (0 if days > 0 else 1)
    refused(await set_roles(initech, initech.administrator, admin=SOON), 409, "last_administrator")


async def test_no_expiry_leaves_an_organization_without_an_administrator(
    initech: Organization,
) -> None:
    people = await initech.add_members({each: ["admin"] for each in ("bob", "eve", "fay")})
    now = datetime.now(UTC)
    await initech.set_role_expiry(people["bob"], "admin", now - timedelta(seconds=1))
    await initech.set_membership_expiry(people["eve"], now - timedelta(seconds=1))
    assert (await set_roles(initech, people["fay"], admin=SOON)).status_code == 200

    assert await sweep(initech) == 2

    assert (await initech.roles_by_member())[initech.administrator.id] == ["admin"]
    for operation in ("suspend", "remove"):
        answer = await initech.change_status(operation, initech.administrator, by=people["fay"])
        refused(answer, 409, "last_administrator")
    assert await initech.can(initech.administrator, "members_invite")
    await initech.set_role_expiry(people["fay"], "admin", now - timedelta(seconds=1))
    assert await sweep(initech) == 1
    assert await initech.can(initech.administrator, "members_invite")


async def test_an_administrator_whose_expiry_is_removed_counts_again(initech: Organization) -> None:
    ana = initech.administrator
    bob = (await initech.add_members({"bob": ["admin"]}))["bob"]
    await initech.set_role_expiry(bob, "admin", datetime.now(UTC) + timedelta(days=30))
    refused(await ana.ask("POST", f"{initech.path}/leave"), 409, "last_administrator")

    assert (await set_roles(initech, bob, admin=None)).status_code == 200

    assert (await set_roles(initech, ana, admin=SOON)).status_code == 200
    refused(await set_roles(initech, bob, admin=SOON), 409, "last_administrator")
    assert (await ana.ask("POST", f"{initech.path}/leave")).status_code == 204


async def test_an_administrator_granted_by_an_operator_is_permanent_and_counts(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await acme.set_membership_expiry(bob, datetime.now(UTC) - timedelta(seconds=1))
    async with acme.deployment.operator(acme.id) as change:
        await grant_administrator(change, acme.id, bob.email, "Ana is leaving")

    assert await sweep(acme) == 0

    assert (await acme.remove(acme.administrator, by=bob)).status_code == 204
    left = await bob.ask("POST", f"{acme.path}/leave")
    refused(left, 409, "last_administrator")


async def test_an_administrator_may_leave_if_there_is_another(initech: Organization) -> None:
    bob = await initech.member("bob", roles=["admin"])
    left = await initech.administrator.ask("POST", f"{initech.path}/leave")
    assert left.status_code == 204
    refused(await initech.remove(bob, by=bob), 409, "last_administrator")


async def test_an_administrator_may_drop_their_other_roles(
    initech: Organization,
) -> None:
    ana = initech.administrator
    assert (await set_roles(initech, ana, admin=None, write=None)).status_code == 200
    assert (await set_roles(initech, ana, admin=None)).status_code == 200


async def test_two_administrators_who_demote_each_other_at_once_leave_one(
    initech: Organization,
) -> None:
    ana = initech.administrator
    bob = await initech.member("bob", roles=["admin"])
    for _ in range(5):
        answers = await asyncio.gather(
            set_roles(initech, bob, by=ana, read=None), set_roles(initech, ana, by=bob, read=None)
        )

        winner = ana if answers[0].status_code == 200 else bob
        loser = bob if winner is ana else ana
        assert sorted(answer.status_code for answer in answers) == [200, 403]
        assert await initech.can(winner, "members_change_roles")
        assert not await initech.can(loser, "members_change_roles")
        assert (await set_roles(initech, loser, by=winner, admin=None)).status_code == 200


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("leave", "leave"),
        ("suspend", "suspend"),
        ("remove", "leave"),
        ("end", "end"),
        ("end", "demote"),
    ],
)
async def test_after_any_two_concurrent_changes_one_administrator_remains(
    initech: Organization, one: str, other: str
) -> None:
    ana = initech.administrator
    bob = await initech.member("bob", roles=["admin"])

    def operation(name: str, by: Person, target: Person) -> Any:
        match name:
            case "leave":
                return by.ask("POST", f"{initech.path}/leave")
            case "end":
                return set_roles(initech, target, by=by, admin=SOON)
            case "demote":
                return set_roles(initech, target, by=by, read=None)
            case _:
                return initech.change_status(name, target, by=by)

    answers = await asyncio.gather(operation(one, ana, bob), operation(other, bob, ana))

    assert sum(answer.is_success for answer in answers) == 1, [each.text for each in answers]
    for person in (ana, bob):
        person.token = await initech.deployment.token(person.id)
    shown = [await person.ask("GET", f"{initech.path}/members") for person in (ana, bob)]
    listed = next(each.json()["items"] for each in shown if each.is_success)
    assert [
        member["user"]
        for member in listed
        if member["status"] == "active"
        and {"role": "admin", "expires_at": None}
        in [{"role": each["role"], "expires_at": each["expires_at"]} for each in member["roles"]]
    ]


async def test_no_path_of_the_api_grants_fintocs_administrator(
    acme: Organization,
) -> None:
    people = await acme.add_members({"bob": ["support"], "ada": ["administrator"], "tim": []})
    bob, ada, tim = people.values()
    before = await acme.roles_by_member()
    answers = [
        await acme.invite("eve", ["administrator"]),
        await acme.invite("eve", ["support", "administrator"]),
        await acme.change_roles(bob, "administrator"),
        await acme.change_roles(tim, "support", "administrator", by=ada),
    ]
    for answer in answers:
        assert refused(answer, 403, "operator_only_role")["role"] == "administrator"

    id = (await acme.invite("eve", ["support"])).json()["id"]
    await acme.replace_offered_roles(id, ["administrator"])
    resent = await acme.administrator.ask("POST", f"{acme.path}/invitations/{id}/resend")
    refused(resent, 403, "operator_only_role")
    refused(await acme.accept("eve"), 403, "operator_only_role")
    assert await acme.roles_by_member() == before


async def test_the_api_does_not_extend_a_temporary_administrator_of_fintoc(
    acme: Organization,
) -> None:
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
    assert (await set_roles(acme, ada, administrator=SOON)).status_code == 200

    for by in (acme.administrator, ada):
        refused(await set_roles(acme, ada, by=by, administrator=None), 403, "operator_only_role")
    sooner = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    assert (await set_roles(acme, ada, administrator=sooner)).status_code == 200

    await acme.set_role_expiry(ada, "administrator", datetime.now(UTC) - timedelta(seconds=1))
    answer = await set_roles(acme, ada, administrator=sooner)
    refused(answer, 403, "operator_only_role")


async def test_a_reactivated_administrator_of_fintoc_gets_back_what_an_operator_gave(
    acme: Organization,
) -> None:
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
    await acme.suspend(ada)
    refused(await ada.ask("POST", f"{acme.path}/leave"), 404, "unknown_organization")

    assert (await acme.reactivate(ada)).status_code == 204
    assert await acme.can(ada, "users_invite")


async def test_an_administrator_of_fintoc_may_remove_another_ones_role(
    acme: Organization,
) -> None:
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
    assert (await acme.change_roles(ada, "developer")).status_code == 200
    refused(await acme.change_roles(ada, "administrator"), 403, "operator_only_role")
    refused(await acme.suspend(acme.administrator), 409, "last_administrator")
