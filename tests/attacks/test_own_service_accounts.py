"""Temporary access does not become permanent through a service account and the tokens that it makes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx
import pytest

from tests.attacks.test_own_access import put_roles, soon
from tests.support.organization import Organization
from tests.support.people import Person, ServiceAccount
from tests.support.responses import refused


class AccountWithToken(NamedTuple):
    """A service account, and a token that a temporary administrator made. It ends before their access."""

    account: ServiceAccount
    token: str
    """The id of the token."""


@pytest.fixture
async def robot(initech: Organization) -> ServiceAccount:
    """A permanent admin that is a service account. Nobody made a token of it yet."""
    return await initech.create_service_account("admin")


@pytest.fixture
async def temporary(initech: Organization) -> Person:
    """An admin of initech whose role ends in three days."""
    lea = (await initech.add_members({"lea": ["admin"]}))["lea"]
    await initech.set_role_expiry(lea, "admin", await soon(initech.deployment, 72))
    return lea


@pytest.fixture
async def temporary_account(
    initech: Organization, temporary: Person, robot: ServiceAccount
) -> AccountWithToken:
    """The robot, with a token for one day that the temporary admin made."""
    made = await new_token(temporary, robot, days=1)
    assert made.status_code == 201, made.text
    robot.token = made.json()["secret"]
    return AccountWithToken(robot, made.json()["id"])


async def new_token(by: Person, account: ServiceAccount, days: int) -> httpx.Response:
    path = f"{account.organization.path}/service-accounts/{account.id}/tokens"
    return await by.ask("POST", path, json={"name": "new", "expires_in_days": days})


async def rotate(by: Person, account: ServiceAccount, token: str, days: int = 1) -> httpx.Response:
    path = f"{account.organization.path}/service-accounts/{account.id}/tokens/{token}/rotate"
    return await by.ask("POST", path, json={"overlap_hours": 0, "expires_in_days": days})


async def test_a_rotated_token_has_the_same_people_behind_it(
    initech: Organization, temporary: Person, temporary_account: AccountWithToken
) -> None:
    """The service account makes the new token itself, and the token that a person made is gone."""
    robot, token = temporary_account
    for _ in range(2):
        refused(await rotate(robot, robot, token, days=90), 403, "own_access_extended")
        rotated = await rotate(robot, robot, token)
        assert rotated.status_code == 201, rotated.text
        robot.token, token = rotated.json()["secret"], rotated.json()["id"]
        answer = await put_roles(initech, robot, temporary, "admin")
        refused(answer, 403, "own_access_extended")


async def test_a_token_of_another_account_has_the_same_people_behind_it(
    initech: Organization, temporary: Person, temporary_account: AccountWithToken
) -> None:
    other = await initech.create_service_account("admin")
    refused(await new_token(temporary_account.account, other, days=90), 403, "own_access_extended")
    made = await new_token(temporary_account.account, other, days=1)
    assert made.status_code == 201, made.text
    other.token = made.json()["secret"]
    refused(await put_roles(initech, other, temporary, "admin"), 403, "own_access_extended")
    refused(await new_token(other, temporary_account.account, days=90), 403, "own_access_extended")


async def test_an_account_gives_nothing_that_outlasts_the_people_behind_its_token(
    initech: Organization, temporary: Person, temporary_account: AccountWithToken
) -> None:
    """Also for a permanent member: the account acts for ana, and the token is lea's."""
    robot = temporary_account.account
    for by in (robot, robot.on_behalf_of(initech.administrator.id)):
        refused(await new_token(by, robot, days=90), 403, "own_access_extended")
        path = f"{initech.path}/service-accounts"
        body = {"name": "new", "roles": ["admin"]}
        refused(await by.ask("POST", path, json=body), 403, "own_access_extended")
        body = {"email": temporary.email.replace("@", "+new@"), "roles": ["admin"]}
        invited = await by.ask("POST", f"{initech.path}/invitations", json=body)
        refused(invited, 403, "own_access_extended")
    bob = (await initech.add_members({"bob": []}))["bob"]
    assert (await put_roles(initech, robot, bob, "write")).status_code == 200


async def test_giving_up_ones_access_does_not_free_a_token(
    initech: Organization, temporary: Person, temporary_account: AccountWithToken
) -> None:
    robot = temporary_account.account
    assert (await put_roles(initech, temporary, temporary)).status_code == 200
    refused(await new_token(robot, robot, days=90), 403, "own_access_extended")
    assert (await temporary.ask("POST", f"{initech.path}/leave")).status_code == 204
    refused(await new_token(robot, robot, days=90), 403, "own_access_extended")


async def test_a_permanent_administrator_behind_a_token_sets_no_limit(
    initech: Organization, temporary_account: AccountWithToken
) -> None:
    """The token that was sent counts, and not those that other people made of the same account."""
    robot, ana = temporary_account.account, initech.administrator
    made = await new_token(ana, robot, days=1)
    robot.token = made.json()["secret"]
    rotated = await rotate(robot, robot, made.json()["id"], days=90)
    assert rotated.status_code == 201, rotated.text


@asynccontextmanager
async def without_people(organization: Organization) -> AsyncIterator[None]:
    """The organization's tokens, as they were before the people behind them were recorded."""
    execute = organization.deployment.execute_without_triggers
    here = f"FROM api_tokens WHERE organization_id = '{organization.id}'"
    await execute(
        f"CREATE TABLE recorded AS SELECT organization_id, id, people, people_until {here}"
    )
    await execute(
        "UPDATE api_tokens SET people = NULL, people_until = NULL WHERE organization_id = $1",
        organization.id,
    )
    try:
        yield
    finally:
        await execute(
            "UPDATE api_tokens AS t SET people = r.people, people_until = r.people_until"
            " FROM recorded AS r WHERE (t.organization_id, t.id) = (r.organization_id, r.id)"
        )
        await execute("DROP TABLE recorded")


async def test_a_token_without_recorded_people_counts_for_the_people_who_made_it(
    initech: Organization, temporary: Person, temporary_account: AccountWithToken
) -> None:
    """Tokens from before they were recorded name only their maker, which may be a service account."""
    robot, token = temporary_account
    rotated = await rotate(robot, robot, token)
    robot.token = rotated.json()["secret"]
    async with without_people(initech):
        refused(await put_roles(initech, robot, temporary, "admin"), 403, "own_access_extended")
        refused(await new_token(robot, robot, days=90), 403, "own_access_extended")


async def test_an_account_that_became_permanent_rotates_its_token(
    initech: Organization, robot: ServiceAccount
) -> None:
    """The earlier end of its own role is not inherited by the tokens that it makes of itself."""
    await initech.set_role_expiry(robot, "admin", await soon(initech.deployment))
    token = (await robot.create_token())["id"]
    rotated = await rotate(robot, robot, token)
    assert rotated.status_code == 201, rotated.text
    robot.token = rotated.json()["secret"]
    assert (await put_roles(initech, initech.administrator, robot, "admin")).status_code == 200
    again = await rotate(robot, robot, rotated.json()["id"], days=90)
    assert again.status_code == 201, again.text


@pytest.mark.parametrize("on_behalf", [False, True], ids=["by itself", "for a member"])
async def test_an_account_invitation_is_judged_by_the_people_behind_its_token(
    initech: Organization, robot: ServiceAccount, on_behalf: bool
) -> None:
    """The person behind the token is permanent when it is sent, and temporary when it is accepted."""
    pat = (await initech.add_members({"pat": ["admin"]}))["pat"]
    made = await new_token(pat, robot, days=90)
    assert made.status_code == 201, made.text
    robot.token = made.json()["secret"]
    sender = robot.on_behalf_of(initech.administrator.id) if on_behalf else robot
    own = pat.email.replace("@", "+machine@")
    body = {"email": own, "roles": ["admin"]}
    sent = await sender.ask("POST", f"{initech.path}/invitations", json=body)
    assert sent.status_code == 201, sent.text
    await initech.set_role_expiry(pat, "admin", await soon(initech.deployment))
    acceptance = {"token": initech.deployment.invitation_token(own), "name": "Pat"}
    http = initech.deployment.http
    answer = await http.post("/v1/invitations/accept", json=acceptance)
    refused(answer, 409, "inviter_lost_rights")
    await initech.set_role_expiry(pat, "admin", None)
    assert (await http.post("/v1/invitations/accept", json=acceptance)).status_code == 200
