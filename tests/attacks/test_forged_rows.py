"""Mallory has the application's database password, and forges rows that no ledger entry contains.

PostgreSQL refuses each of these, because no event describes the row as it is.
"""

import json

import pytest
from asyncpg import PostgresError

from tests.attacks.test_stolen_database_password import (
    EVENT,
    TOKEN,
    account_with_token,
    some_hash,
)
from tests.support.database_connections import Connection, run_transaction
from tests.support.intruder import Intruder
from tests.support.organization import Organization

IN_9_DAYS = "now() + interval '9 days'"


async def refused(connection: Connection, *statements: str) -> None:
    """PostgreSQL refuses the transaction because of the rows, not because of a mistake in the SQL."""
    with pytest.raises(PostgresError) as refusal:
        await run_transaction(connection, *statements)
    assert refusal.value.sqlstate in ("23000", "42501"), refusal.value


def event(
    chain: str, kind: str, subject: str, actor: str = "user:mallory", **details: object
) -> str:
    """A statement that records an event with these details."""
    made = EVENT.format(chain, kind, subject, json.dumps(details))
    return made.replace("user:mallory", actor)


async def test_an_external_id_is_not_given_in_secret(
    acme: Organization, application_connection: Connection
) -> None:
    bob = await acme.member("bob", roles=["support"])
    give = f"UPDATE users SET external_id = 'ceo-of-{acme.id}' WHERE id = '{bob.id}'"
    await refused(application_connection, give)
    await refused(application_connection, give, event(acme.id, "token_created", f"user:{bob.id}"))


async def test_a_planted_user_claims_no_external_id(
    acme: Organization, application_connection: Connection
) -> None:
    planted = f"INSERT INTO users (id, external_id) VALUES ('planted-{acme.id}', 'ceo-{acme.id}')"
    await refused(application_connection, planted)


async def test_sessions_do_not_end_by_a_link_that_nobody_made(
    acme: Organization, application_connection: Connection
) -> None:
    link = f"UPDATE users SET linked_at = now() WHERE id = '{acme.administrator.id}'"
    await refused(application_connection, link)


async def test_the_event_of_a_login_names_its_issuer(
    acme: Organization, application_connection: Connection
) -> None:
    id = acme.administrator.id
    link = f"UPDATE users SET issuer = 'https://evil.example', subject = '{id}' WHERE id = '{id}'"
    recorded = event("-", "login_linked", f"user:{id}", issuer="https://login.example")
    await refused(application_connection, link, recorded)


async def test_a_changed_external_id_is_found(acme: Organization, intruder: Intruder) -> None:
    """Even the owner of the tables leaves a row that differs from the event about its login."""
    id = acme.administrator.id
    await intruder.do(f"UPDATE users SET external_id = 'ext-{id}' WHERE id = '{id}'")
    faults = (await intruder.verify_everything()).findings
    assert ("row_unattested", f"identity:{id}") in [(each.fault, each.row) for each in faults]


@pytest.mark.parametrize(
    ("wrong", "details"),
    [
        ("account", {}),
        ("end", {"expires_at": "2026-01-01T00:00:00+00:00"}),
        ("actor", {}),
    ],
)
async def test_an_event_that_describes_another_token_explains_none(
    acme: Organization, application_connection: Connection, wrong: str, details: dict[str, str]
) -> None:
    account, other = await account_with_token(acme), await account_with_token(acme)
    end = await application_connection.fetchval(f"SELECT {IN_9_DAYS}")
    plant = TOKEN.format(acme.id, account, some_hash()).replace(
        "now() + interval '9 days'", f"'{end}'"
    )
    recorded = event(
        acme.id,
        "token_created",
        f"user:{other if wrong == 'account' else account}",
        f"user:{other if wrong == 'actor' else account}",
        **{"token": "planted", "expires_at": end.isoformat()} | details,
    )
    await refused(application_connection, plant, recorded)


async def test_the_token_of_a_deleted_service_account_does_not_return(
    acme: Organization, application_connection: Connection
) -> None:
    account = await account_with_token(acme)
    token = await application_connection.fetchrow(
        "SELECT * FROM api_tokens WHERE user_id = $1", account
    )
    assert token is not None
    deleted = await acme.administrator.ask("DELETE", f"{acme.path}/service-accounts/{account}")
    assert deleted.is_success, deleted.text
    columns = ", ".join(token.keys())
    numbers = ", ".join(f"${number + 1}" for number in range(len(list(token.keys()))))
    await run_transaction(
        application_connection,
        f"INSERT INTO memberships (organization_id, user_id) VALUES ('{acme.id}', '{account}')",
        "SELECT * FROM ledger_drain()",
    )
    with pytest.raises(PostgresError, match="newest event"):
        await application_connection.execute(
            f"INSERT INTO api_tokens ({columns}) VALUES ({numbers})", *token.values()
        )


@pytest.mark.parametrize(
    "kind", ["invitation_resent", "member_invited", "invitation_offer_changed"]
)
async def test_an_offer_is_not_raised_by_an_event_that_does_not_list_it(
    acme: Organization, application_connection: Connection, intruder: Intruder, kind: str
) -> None:
    invited = (await acme.invite("bob", ["support"])).json()
    await run_transaction(
        application_connection,
        "UPDATE invitation_roles SET role = 'operations'"
        f" WHERE organization_id = '{acme.id}' AND invitation_id = '{invited['id']}'",
        event(
            acme.id,
            kind,
            f"invitation:{invited['id']}",
            expires_at=invited["expires_at"],
            roles=["support"],
        ),
    )
    found = [each.row for each in (await intruder.verify(acme)).findings]
    assert f"offer:{acme.id}/{invited['id']}" in found
    answer = await acme.accept("bob")
    assert answer.json()["code"] == "invitation_unexplained"


async def test_an_auditor_does_not_stay_longer_than_the_event_says(
    acme: Organization, application_connection: Connection
) -> None:
    id = acme.administrator.id
    appoint = (
        "INSERT INTO auditors (user_id, granted_at, granted_by, reason_hash)"
        f" VALUES ('{id}', now(), 'user:mallory', '')"
    )
    recorded = event("-", "auditor_granted", f"user:{id}", until="2026-12-31T00:00:00+00:00")
    await refused(application_connection, appoint, recorded)


async def test_a_finding_is_not_resolved_by_an_event_about_another(
    acme: Organization, application_connection: Connection
) -> None:
    id = await application_connection.fetchval(
        "INSERT INTO findings (kind, organization_id, fingerprint, details)"
        f" VALUES ('foreign_write', '{acme.id}', '{acme.id}-2', '{{}}') RETURNING id"
    )
    resolve = (
        f"UPDATE findings SET resolved_at = now(), resolved_by = 'operator:ines' WHERE id = {id}"
    )
    recorded = event(
        acme.id,
        "finding_resolved",
        f"finding:{id}",
        "operator:ines",
        found="drift",
        organization=acme.id,
    )
    await refused(application_connection, resolve, recorded)


async def test_a_schema_is_not_recorded_in_secret(application_connection: Connection) -> None:
    await refused(
        application_connection,
        "INSERT INTO schema_versions (catalog_version, catalog, schema, zed_token, applied_by)"
        " VALUES ('none', '{}', 'definition user {}', 'token', 'operator:ines')",
    )


@pytest.mark.parametrize(
    "change",
    ["name = 'Evil'", "deleted_at = now()", "founded_by = 'eve'", "created_at = '2020-01-01'"],
)
async def test_an_organization_changes_with_an_event_only(
    acme: Organization, application_connection: Connection, change: str
) -> None:
    update = f"UPDATE organizations SET {change} WHERE id = '{acme.id}'"
    await refused(application_connection, update)
    if change == "deleted_at = now()":
        renamed = event(acme.id, "organization_renamed", f"organization:{acme.id}")
        await refused(application_connection, update, renamed)


async def test_a_deleted_organization_does_not_return(
    acme: Organization, application_connection: Connection
) -> None:
    deleted = await acme.administrator.ask("DELETE", acme.path)
    assert deleted.is_success, deleted.text
    await refused(
        application_connection,
        f"UPDATE organizations SET deleted_at = NULL WHERE id = '{acme.id}'",
        event(acme.id, "organization_created", f"organization:{acme.id}"),
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE role_assignments SET granted_at = '2020-01-01' WHERE {mine}",
        "UPDATE role_assignments SET granted_at = '2100-01-01' WHERE {mine}",
        "UPDATE memberships SET joined_at = '2020-01-01' WHERE {mine}",
        "UPDATE memberships SET suspended_at = '2020-01-01' WHERE {mine}",
        "INSERT INTO resources (organization_id, type, id, registered_at) {past}'webhook', 'w', {at}",
        "INSERT INTO role_assignments (organization_id, user_id, role, granted_at) {of_members}",
    ],
)
async def test_the_start_of_access_cannot_be_forged(
    acme: Organization, application_connection: Connection, statement: str
) -> None:
    change = statement.format(
        mine=f"organization_id = '{acme.id}'",
        past=f"SELECT '{acme.id}', ",
        at="'2020-01-01'::timestamptz",
        of_members="SELECT organization_id, user_id, 'product', '2020-01-01' FROM memberships"
        f" WHERE organization_id = '{acme.id}'",
    )
    with pytest.raises(PostgresError, match="not the time of this change"):
        await run_transaction(application_connection, change, "SELECT * FROM ledger_drain()")


RUN = """
INSERT INTO engine_runs (kind, organization_id, position, request_id, transaction, phase)
VALUES ('{}', '{}', {}, 'forged', {}, 'filling')
"""


@pytest.mark.parametrize("kind", ["rebuild", "close", "ahead", "renewal"])
async def test_a_run_at_an_impossible_position_is_not_recorded(
    acme: Organization, application_connection: Connection, kind: str
) -> None:
    """A rebuild at an old position would explain access that was taken away since."""
    await acme.member("bob", roles=["support"])
    position = 1 if kind in ("rebuild", "close") else 1000
    transaction = "pg_current_xact_id()::text"
    await refused(application_connection, RUN.format(kind, acme.id, position, transaction))
    if kind in ("rebuild", "close"):
        newest = await application_connection.fetchval(
            "SELECT position FROM ledger_heads WHERE organization_id = $1", acme.id
        )
        await refused(application_connection, RUN.format(kind, acme.id, newest, "NULL"))


async def test_a_settled_run_explains_nothing_again(
    acme: Organization, application_connection: Connection
) -> None:
    id = await application_connection.fetchval(
        RUN.format("renewal", acme.id, 1, "NULL") + " RETURNING id"
    )
    await application_connection.execute(
        f"UPDATE engine_runs SET over_at = now(), settled_at = now() WHERE id = {id}"
    )
    for change in ("settled_at = NULL", "settled_at = NULL, over_at = NULL", "phase = 'emptying'"):
        await refused(application_connection, f"UPDATE engine_runs SET {change} WHERE id = {id}")


async def test_what_was_watched_is_not_forgotten(
    acme: Organization, application_connection: Connection
) -> None:
    """An older position would let the history before it be written to SpiceDB again."""
    newest = await application_connection.fetchval(
        "SELECT position FROM ledger_heads WHERE organization_id = $1", acme.id
    )
    await application_connection.execute("INSERT INTO watched_ledgers VALUES ($1, 1000)", acme.id)
    for position in (0, newest - 1, 2**63 - 1):
        await application_connection.execute(
            "UPDATE watched_ledgers SET position = $2 WHERE organization_id = $1", acme.id, position
        )
        left = await application_connection.fetchval(
            "SELECT position FROM watched_ledgers WHERE organization_id = $1", acme.id
        )
        assert left == newest > 0


async def test_a_delivery_is_not_postponed_for_years(
    acme: Organization, application_connection: Connection
) -> None:
    await refused(
        application_connection,
        f"UPDATE ledger_applications SET due_at = '2100-01-01' WHERE organization_id = '{acme.id}'",
    )


async def test_a_position_is_not_skipped_without_an_event(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    bob = await acme.member("bob", roles=["support"])
    await acme.remove(bob)
    newest = await application_connection.fetchval(
        "UPDATE ledger_applications SET status = 'skipped' WHERE organization_id = $1"
        " AND position = (SELECT position FROM ledger_heads WHERE organization_id = $1)"
        " RETURNING position",
        acme.id,
    )
    assert f"ledger {newest} skipped_without_event" in await intruder.all_findings(acme)
