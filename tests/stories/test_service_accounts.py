"""Service accounts are members: the same checks apply, and their tokens are shown once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from teamaccess.common.configuration.secret import hash_of
from teamaccess.storage import ApiToken, IdempotencyKey, TokenId, User
from tests.stories.test_secrets import all_rows
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import PROBLEM, refused


def path(organization: Organization, account: Person, token: str = "", verb: str = "") -> str:
    """The address of a service account, its tokens, or one token."""
    parts = [f"{organization.path}/service-accounts/{account.id}"]
    if token:
        parts += ["tokens", token]
    return "/".join([*parts, *([verb] if verb else [])])


async def row(organization: Organization, token: str) -> ApiToken:
    """The stored row of a token."""
    async with organization.deployment.service.reads() as session:
        return await session.get_one(ApiToken, (organization.id, TokenId(token)))


async def set_expiry(organization: Organization, token: str, at: datetime) -> None:
    """Set when a token expires."""
    statement = "UPDATE api_tokens SET expires_at = $1 WHERE id = $2"
    await organization.deployment.execute_without_triggers(statement, at, token)


async def test_a_service_account_does_only_what_its_role_allows(acme: Organization) -> None:
    job = await acme.add_service_account("support")

    assert await acme.can(job, "refunds_create")
    assert not await acme.can(job, "webhooks_create")
    me = (await job.ask("GET", "/v1/me")).json()
    assert (me["id"], me["kind"], me["organization"]) == (job.id, "service_account", acme.id)
    assert (await job.ask("GET", f"{acme.path}/members")).status_code == 200
    for answer in (
        await acme.invite("eve", ["support"], by=job),
        await acme.change_roles(job, "product", by=job),
        await acme.suspend(acme.administrator, by=job),
        await job.ask("GET", f"{acme.path}/service-accounts"),
        await job.ask("POST", path(acme, job) + "/tokens", json={"name": "more"}),
    ):
        refused(answer, 403, "missing_permission")


async def test_service_accounts_are_listed_among_members_and_separately(acme: Organization) -> None:
    job = await acme.add_service_account("support")
    ana = acme.administrator

    listed = (await ana.ask("GET", f"{acme.path}/members")).json()["items"]
    assert {each["user"]: each["kind"] for each in listed} == {
        ana.id: "person",
        job.id: "service_account",
    }
    assert (await ana.ask("GET", f"{acme.path}/members/{job.id}")).json()["email"] is None
    alone = (await ana.ask("GET", f"{acme.path}/service-accounts")).json()
    one = (await ana.ask("GET", path(acme, job))).json()
    assert alone == {"items": [one], "next_cursor": None}
    assert one["name"] == "Nightly job"
    assert [each["role"] for each in one["roles"]] == ["support"]
    refused(
        await ana.ask("GET", f"{acme.path}/service-accounts/{ana.id}"),
        404,
        "unknown_service_account",
    )


async def test_pages_of_service_accounts_and_tokens_list_each_once(acme: Organization) -> None:
    made = [(await acme.create_service_account("support")).id for _ in range(3)]
    job = await acme.create_service_account("support")
    tokens = [(await job.create_token())["id"] for _ in range(3)]

    for where, wanted in (
        ("service-accounts", [*made, job.id]),
        (f"service-accounts/{job.id}/tokens", tokens),
    ):
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            after = {"cursor": cursor} if cursor else {}
            page = await acme.administrator.ask(
                "GET", f"{acme.path}/{where}", params={"limit": 2, **after}
            )
            found += [each["id"] for each in page.json()["items"]]
            cursor = page.json()["next_cursor"]
        assert found == wanted


async def test_a_role_of_a_service_account_may_expire_and_changes_like_a_members(
    acme: Organization,
) -> None:
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    made = await acme.administrator.ask(
        "POST",
        f"{acme.path}/service-accounts",
        json={"name": "For three days", "roles": [{"role": "support", "expires_at": until}]},
    )
    assert datetime.fromisoformat(made.json()["roles"][0]["expires_at"]) == (
        datetime.fromisoformat(until)
    )
    job = Person(acme.deployment, made.json()["id"], "", "")
    assert (await acme.change_roles(job, "developer")).status_code == 200
    assert await acme.can(job, "webhooks_create")
    for when, code in (
        ("2020-01-01T00:00:00Z", "end_in_the_past"),
        ("2999-01-01T00:00:00Z", "end_too_far"),
    ):
        body = {"name": "No", "roles": [{"role": "support", "expires_at": when}]}
        answer = await acme.administrator.ask("POST", f"{acme.path}/service-accounts", json=body)
        refused(answer, 400, code)


async def test_members_cannot_create_a_service_account_that_may_do_more(
    branch: Organization,
) -> None:
    people = await branch.add_members({"lea": ["lead"], "carl": ["clerk"]})
    lea = people["lea"]
    before = await branch.roles_by_member()
    for roles, status, code in (
        (["auditor"], 403, "role_beyond_giver"),
        (["clerk", "owner"], 403, "role_beyond_giver"),
        (["custodian"], 403, "operator_only_role"),
        (["wizard"], 400, "unknown_role"),
        (["clerk", "clerk"], 400, "role_twice"),
    ):
        body = {"name": "Robot", "roles": roles}
        refused(await lea.ask("POST", f"{branch.path}/service-accounts", json=body), status, code)
    body = {"name": "Robot", "roles": []}
    answer = await people["carl"].ask("POST", f"{branch.path}/service-accounts", json=body)
    refused(answer, 403, "missing_permission")
    assert await branch.roles_by_member() == before
    await branch.create_service_account("lead", by=lea)


async def test_members_cannot_create_a_token_of_a_service_account_that_may_do_more(
    branch: Organization,
) -> None:
    lea = (await branch.add_members({"lea": ["lead"]}))["lea"]
    above = await branch.create_service_account("auditor")
    token = await above.create_token()

    for answer in (
        await lea.ask("POST", path(branch, above) + "/tokens", json={"name": "mine"}),
        await lea.ask("POST", path(branch, above, token["id"], "rotate"), json={}),
        await lea.ask("DELETE", path(branch, above, token["id"])),
        await lea.ask("DELETE", path(branch, above)),
    ):
        assert refused(answer, 403, "member_above_actor")["missing"] == ["house_audit"]
    assert (await above.ask("GET", "/v1/me")).status_code == 200
    below = await branch.create_service_account("clerk", by=lea)
    await below.create_token(by=lea)
    assert (await lea.ask("DELETE", path(branch, below))).status_code == 204


async def test_service_accounts_cannot_hold_a_role_that_only_operators_give(
    acme: Organization,
) -> None:
    body = {"name": "Robot", "roles": ["administrator"]}
    answer = await acme.administrator.ask("POST", f"{acme.path}/service-accounts", json=body)
    refused(answer, 403, "operator_only_role")
    job = await acme.add_service_account("support")
    refused(await acme.change_roles(job, "administrator"), 403, "operator_only_role")


async def test_a_service_account_does_not_count_as_an_administrator(
    initech: Organization,
) -> None:
    robot = await initech.add_service_account("admin")
    ana = initech.administrator

    for answer in (
        await initech.suspend(ana, by=robot),
        await initech.remove(ana, by=robot),
        await initech.change_roles(ana, "read", by=robot),
        await ana.ask("POST", f"{initech.path}/leave"),
    ):
        refused(answer, 409, "last_administrator")
    assert (await initech.change_roles(robot, "read")).status_code == 200
    assert (await initech.change_roles(robot, "admin")).status_code == 200
    assert (await ana.ask("DELETE", path(initech, robot))).status_code == 204


async def test_a_service_account_belongs_to_one_organization(initech: Organization) -> None:
    other = await initech.deployment.create_organization("hooli")
    robot = await initech.add_service_account("admin")

    for where in (other.path, f"{other.path}/members", f"{other.path}/permissions"):
        refused(await robot.ask("GET", where), 404, "unknown_organization")
    mine = (await robot.ask("GET", "/v1/organizations")).json()["items"]
    assert [each["id"] for each in mine] == [initech.id]
    body = {"id": f"{initech.id}-own", "name": "Own"}
    refused(await robot.ask("POST", "/v1/organizations", json=body), 403, "only_in_person")
    for verb in ("GET", "DELETE"):
        answer = await other.administrator.ask(verb, path(other, robot))
        refused(answer, 404, "unknown_service_account")


async def test_a_service_account_cannot_make_requests_that_people_make_in_person(
    acme: Organization,
) -> None:
    job = await acme.add_service_account("support")
    await acme.invite("eve", ["support"])
    secret = acme.deployment.invitation_token(acme.address("eve"))

    refused(await job.ask("POST", "/v1/me/sign-out"), 403, "only_in_person")
    accept = await job.ask("POST", "/v1/invitations/accept", json={"token": secret})
    refused(accept, 403, "only_in_person")
    forged = Person(acme.deployment, job.id, "", await acme.deployment.token(job.id))
    refused(await forged.ask("GET", "/v1/me"), 401, "invalid_token")


async def test_the_secret_of_a_token_is_shown_once_and_stored_nowhere(acme: Organization) -> None:
    job = await acme.create_service_account("support")
    where, key = path(acme, job) + "/tokens", {"Idempotency-Key": f"token {job.id}"}
    body = {"name": "on the server", "expires_in_days": 30}
    first = await acme.administrator.ask("POST", where, json=body, headers=key)
    again = await acme.administrator.ask("POST", where, json=body, headers=key)

    secret = first.json()["secret"]
    assert secret.startswith("ta_")
    assert len(secret) >= 3 + 43
    reported = {name: value for name, value in first.json().items() if name != "secret"}
    assert (again.status_code, again.json()) == (201, reported)
    listed = await acme.administrator.ask("GET", where)
    assert listed.json()["items"] == [reported]
    assert reported["created_by"] == f"user:{acme.administrator.id}"
    kept = await all_rows(acme)
    assert kept["idempotency_keys"]
    assert all(secret not in rows for rows in kept.values())
    assert hash_of(secret).hex() in kept["api_tokens"]

    rotated = await acme.administrator.ask(
        "POST",
        path(acme, job, reported["id"], "rotate"),
        json={},
        headers={"Idempotency-Key": f"rotate {job.id}"},
    )
    async with acme.deployment.service.reads() as session:
        answers = await session.scalars(
            select(IdempotencyKey.body).where(IdempotencyKey.key.like(f"%{job.id}"))
        )
        assert all("secret" not in (each or {}) for each in answers)
    assert all(rotated.json()["secret"] not in rows for rows in (await all_rows(acme)).values())


async def test_a_token_is_valid_until_it_expires_or_is_revoked(acme: Organization) -> None:
    job = await acme.create_service_account("support")
    token = await job.create_token(expires_in_days=1)
    until = datetime.fromisoformat(token["expires_at"])
    assert until - datetime.fromisoformat(token["created_at"]) == timedelta(days=1)
    assert (await job.ask("GET", "/v1/me")).status_code == 200

    await set_expiry(acme, token["id"], await acme.deployment.service.now())
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")
    await set_expiry(acme, token["id"], until)
    assert (await job.ask("GET", "/v1/me")).status_code == 200

    where = path(acme, job, token["id"])
    assert (await acme.administrator.ask("DELETE", where)).status_code == 204
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")
    refused(await acme.administrator.ask("DELETE", where), 409, "token_ended")
    rotate = await acme.administrator.ask("POST", f"{where}/rotate", json={})
    refused(rotate, 409, "token_ended")
    tokens = await acme.administrator.ask("GET", path(acme, job) + "/tokens")
    assert tokens.json()["items"][0]["revoked_at"] is not None


async def test_a_token_lasts_no_longer_than_the_catalog_allows(acme: Organization) -> None:
    job = await acme.create_service_account("support")
    where = path(acme, job) + "/tokens"
    for days, code in ((0, "invalid_request"), (10**6, "invalid_request"), (2000, "end_too_far")):
        body = {"name": "long", "expires_in_days": days}
        refused(await acme.administrator.ask("POST", where, json=body), 400, code)


async def test_a_rotated_token_is_valid_during_the_overlap(acme: Organization) -> None:
    job = await acme.create_service_account("support")
    old = await job.create_token()
    rotated = await acme.administrator.ask(
        "POST", path(acme, job, old["id"], "rotate"), json={"overlap_hours": 2}
    )
    assert rotated.status_code == 201
    new = Person(acme.deployment, job.id, "", rotated.json()["secret"])
    assert rotated.json()["name"] == old["name"]

    for each in (job, new):
        assert (await each.ask("GET", "/v1/me")).status_code == 200
    left = (await row(acme, old["id"])).expires_at - await acme.deployment.service.now()
    assert timedelta(hours=1.9) < left <= timedelta(hours=2)

    for hours in (-1, 7 * 24 + 1, None, "2"):
        answer = await acme.administrator.ask(
            "POST", path(acme, job, old["id"], "rotate"), json={"overlap_hours": hours}
        )
        refused(answer, 400, "invalid_request")
    at_once = await acme.administrator.ask(
        "POST", path(acme, job, rotated.json()["id"], "rotate"), json={"overlap_hours": 0}
    )
    refused(await new.ask("GET", "/v1/me"), 401, "invalid_api_token")
    newest = Person(acme.deployment, job.id, "", at_once.json()["secret"])
    assert (await newest.ask("GET", "/v1/me")).status_code == 200


async def test_the_last_use_of_a_token_is_recorded_to_the_minute(acme: Organization) -> None:
    job = await acme.create_service_account("support")
    token = await job.create_token()
    assert (await row(acme, token["id"])).last_used_at is None
    await job.ask("GET", "/v1/me")
    first = (await row(acme, token["id"])).last_used_at
    assert first is not None
    await job.ask("GET", "/v1/me")
    assert (await row(acme, token["id"])).last_used_at == first


@pytest.mark.parametrize("end", ["deleted", "removed", "organization"])
async def test_deleting_a_service_account_ends_its_tokens(acme: Organization, end: str) -> None:
    job = await acme.add_service_account("support")
    requests: dict[str, tuple[str, str]] = {
        "deleted": ("DELETE", path(acme, job)),
        "removed": ("DELETE", f"{acme.path}/members/{job.id}"),
        "organization": ("DELETE", acme.path),
    }
    assert (await acme.administrator.ask(*requests[end])).status_code == 204

    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")
    assert not await acme.can(job, "refunds_create")
    async with acme.deployment.service.reads() as session:
        left = await session.scalars(select(ApiToken.id).where(ApiToken.user_id == job.id))
        assert left.all() == []
        assert await session.get(User, job.id) is not None  # the chains name it


async def test_a_suspended_service_account_can_do_nothing_until_it_is_reactivated(
    acme: Organization,
) -> None:
    job = await acme.add_service_account("support")
    assert (await acme.suspend(job)).status_code == 204
    refused(await job.ask("GET", f"{acme.path}/members"), 404, "unknown_organization")
    assert (await acme.reactivate(job)).status_code == 204
    assert (await job.ask("GET", f"{acme.path}/members")).status_code == 200


async def test_events_record_what_a_service_account_does_and_what_is_done_to_it(
    acme: Organization,
) -> None:
    job = await acme.create_service_account("support")
    token = await job.create_token()
    await acme.invite("eve", ["support"], by=job)
    await acme.administrator.ask("POST", path(acme, job, token["id"], "rotate"), json={})
    await acme.administrator.ask("DELETE", path(acme, job, token["id"]))
    await job.ask("GET", "/v1/me")
    await acme.administrator.ask("DELETE", path(acme, job))

    reported = [(each.kind, each.actor, each.subject) for each in await acme.events()][2:]
    ana = f"user:{acme.administrator.id}"
    assert reported == [
        ("service_account_created", ana, f"user:{job.id}"),
        ("token_created", ana, f"user:{job.id}"),
        ("refused", f"user:{job.id}", None),
        ("token_rotated", ana, f"user:{job.id}"),
        ("token_revoked", ana, f"user:{job.id}"),
        ("service_account_deleted", ana, f"user:{job.id}"),
    ]


@pytest.mark.parametrize(
    "secret", ["ta_", "ta_x", "ta_" + "x" * 43, "ta_" + "x" * 100_000, "ta_é", "TA_x", "ta_ x"]
)
async def test_a_token_of_no_service_account_is_refused(acme: Organization, secret: str) -> None:
    sent: Any = {b"Authorization": f"Bearer {secret}".encode("latin-1")}
    answer = await acme.deployment.http.get("/v1/me", headers=sent)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["WWW-Authenticate"] == "Bearer"
