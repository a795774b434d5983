"""Mallory has the password of the application's database role, but none of the application's code.

PostgreSQL refuses what she does, or `teamaccess ledger verify` names it.
docs/decisions/0006-what-the-role-can-do.md lists what she can still do unseen.
"""

import json
from datetime import timedelta
from hashlib import sha256
from secrets import token_hex

import pytest
from asyncpg import PostgresError

from teamaccess.audit.auditors.find import is_auditor
from teamaccess.audit.auditors.grant import grant_auditor, revoke_auditor
from teamaccess.ledger.chains.read_chains import snapshot
from teamaccess.ledger.chains.verify import verify_chains
from tests.support.agreement import ledger_entries
from tests.support.database_connections import Connection, run_transaction
from tests.support.intruder import Intruder
from tests.support.organization import Organization

LEDGER = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ('{}', ARRAY['TOUCH organization:{}#administrator@user:{}'], '{}', '{}', '{}', 'none')
"""
EVENT = """
INSERT INTO events (chain, kind, actor, channel, request_id, subject, details)
VALUES ('{}', '{}', 'user:mallory', 'api', 'forged', '{}', '{}')
"""
TOKEN = """
INSERT INTO api_tokens (organization_id, id, user_id, name, hash, created_by, expires_at)
VALUES ('{0}', 'planted', '{1}', 'planted', {2}, 'user:{1}', now() + interval '9 days')
"""
RECONCILED = """
INSERT INTO reconciliations (organization_id, differences, {1}, {2})
VALUES ('{0}', 0, {3}, {4}) ON CONFLICT (organization_id) DO UPDATE SET {1} = {3}
"""


def some_hash() -> str:
    """A hash that no other row of the shared database has, as SQL."""
    return f"'\\x{token_hex(32)}'"


def linked(user: str, subject: str) -> str:
    """A statement that records that the user got the login, as the application does."""
    login = sha256(f"https://login.example\n{subject}".encode()).hexdigest()
    details = json.dumps({"issuer": "https://login.example", "login": login})
    return EVENT.format("-", "login_linked", f"user:{user}", details)


async def verified(organization: Organization) -> list[str]:
    """The findings of `ledger verify` about an organization, with the privileges of that command."""
    async with snapshot(organization.deployment.settings.sqlalchemy_url) as connection:
        return list(map(str, (await verify_chains(connection, organization.id)).findings))


async def refused(application_connection: Connection, *statements: str) -> None:
    """Assert that PostgreSQL refuses the transaction."""
    with pytest.raises(PostgresError) as refusal:
        await run_transaction(application_connection, *statements)
    reported = f"{refusal.value} {getattr(refusal.value, 'constraint_name', '')}"
    assert any(
        each in reported
        for each in (
            "permission denied",
            "newest event",
            "ahead of the clock",
            "stays",
            "ends when",
            "no event records",
        )
    ), reported


async def test_drained_notes_and_a_forged_entry_in_one_transaction_are_found(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    bob = await acme.member("bob", roles=["support"])
    assert await intruder.all_findings(acme) == []
    await run_transaction(
        application_connection,
        "INSERT INTO role_assignments (organization_id, user_id, role, granted_at)"
        f" VALUES ('{acme.id}', '{bob.id}', 'administrator', now())",
        "SELECT * FROM ledger_drain()",
        LEDGER.format(acme.id, acme.id, bob.id, f"user:{bob.id}", "api", "forged"),
    )
    position = (await ledger_entries(acme))[-1].position
    assert f"ledger {position} entry_without_event" in await intruder.all_findings(acme)


async def test_the_request_id_of_a_real_change_explains_no_other_entry(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    bob = await acme.member("bob", roles=["support"])
    true = (await ledger_entries(acme))[-1]
    forged = LEDGER.format(acme.id, acme.id, bob.id, true.actor, true.channel, true.request_id)
    await run_transaction(application_connection, forged)
    assert f"ledger {true.position + 1} entry_without_event" in await intruder.all_findings(acme)


async def account_with_token(organization: Organization) -> str:
    """Create a service account with a token. Returns the account's id."""
    answer = await organization.administrator.ask(
        "POST", f"{organization.path}/service-accounts", json={"name": "Ci", "roles": ["support"]}
    )
    assert answer.status_code == 201, answer.text
    account = str(answer.json()["id"])
    made = await organization.administrator.ask(
        "POST", f"{organization.path}/service-accounts/{account}/tokens", json={"name": "deploy"}
    )
    assert made.status_code == 201, made.text
    return account


async def test_a_planted_token_is_refused(
    acme: Organization, application_connection: Connection
) -> None:
    account = await account_with_token(acme)
    token = TOKEN.format(acme.id, account, some_hash())
    await refused(application_connection, token)
    event = EVENT.format(acme.id, "coffee_made", f"user:{account}", '{"token": "planted"}')
    await refused(application_connection, token, event)


async def test_a_token_planted_with_an_event_is_visible_to_the_auditor(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    """The role can do what the application can do, but it leaves a permanent record."""
    account = await account_with_token(acme)
    token = TOKEN.format(acme.id, account, some_hash())
    token = token.replace("now() + interval '9 days'", "'2100-01-01'")
    token = token.replace(f"'user:{account}'", "'user:mallory'")
    details = '{"token": "planted", "expires_at": "2100-01-01T00:00:00+00:00"}'
    event = EVENT.format(acme.id, "token_created", f"user:{account}", details)
    await run_transaction(application_connection, token, event)
    reported = "SELECT count(*) FROM events WHERE kind = 'token_created' AND actor = 'user:mallory'"
    assert await intruder.ask(reported) >= 1


@pytest.mark.parametrize(
    "change",
    [
        "hash = {hash}",
        "user_id = 'somebody'",
        "expires_at = expires_at + interval '1 year'",
        "expires_at = expires_at - interval '1 hour'",
        "revoked_at = NULL",
        "last_used_at = '2100-01-01'",
    ],
)
async def test_a_token_cannot_differ_from_its_event(
    acme: Organization, application_connection: Connection, change: str
) -> None:
    account = await account_with_token(acme)
    if change.startswith("revoked"):
        token = await application_connection.fetchval(
            "SELECT id FROM api_tokens WHERE user_id = $1", account
        )
        path = f"{acme.path}/service-accounts/{account}/tokens/{token}"
        assert (await acme.administrator.ask("DELETE", path)).status_code in (200, 204)
    change = change.format(hash=some_hash())
    mine = f"organization_id = '{acme.id}' AND user_id = '{account}'"
    await refused(application_connection, f"UPDATE api_tokens SET {change} WHERE {mine}")


@pytest.mark.parametrize(
    "change", ["token_hash = {hash}", "email = 'eve@x.example'", "invited_by = '{by}'"]
)
async def test_only_resending_replaces_the_secret_of_an_invitation(
    acme: Organization, application_connection: Connection, change: str
) -> None:
    bob = await acme.member("bob", roles=["support"])
    await acme.invite("carla", ["product"])
    change = change.format(by=bob.id, hash=some_hash())
    mine = f"organization_id = '{acme.id}' AND email = '{acme.address('carla')}'"
    await refused(
        application_connection,
        f"UPDATE invitations SET {change} WHERE {mine}",
        "SELECT * FROM ledger_drain()",
    )


async def test_a_planted_invitation_and_altered_offers_are_found(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    await acme.invite("carla", ["product"])
    id = await application_connection.fetchval(
        "SELECT id FROM invitations WHERE organization_id = $1", acme.id
    )
    assert await intruder.all_findings(acme) == []
    await run_transaction(
        application_connection,
        "INSERT INTO invitation_roles (organization_id, invitation_id, role)"
        f" VALUES ('{acme.id}', '{id}', 'administrator')",
    )
    found = (await intruder.verify(acme)).findings
    assert {(each.fault.value, each.row) for each in found} == {
        ("row_differs", f"invitation:{acme.id}/{id}"),
        ("row_differs", f"offer:{acme.id}/{id}"),
    }
    await run_transaction(
        application_connection,
        "INSERT INTO invitations (organization_id, id, email, invitee, token_hash, invited_by,"
        f" sent_at, times_sent, expires_at) SELECT '{acme.id}', 'planted', 'eve@x.example', invitee,"
        f" {some_hash()}, invited_by, sent_at, 1, expires_at FROM invitations WHERE id = '{id}'",
        "SELECT * FROM ledger_drain()",
    )
    found = (await intruder.verify(acme)).findings
    assert ("row_unattested", f"invitation:{acme.id}/planted") in [
        (each.fault.value, each.row) for each in found
    ]


async def test_changes_of_the_application_match_their_events(acme: Organization) -> None:
    account = await account_with_token(acme)
    tokens = f"{acme.path}/service-accounts/{account}/tokens"
    ana = acme.administrator
    [token] = (await ana.ask("GET", tokens)).json()["items"]
    rotated = await ana.ask("POST", f"{tokens}/{token['id']}/rotate", json={})
    assert rotated.status_code == 201, rotated.text
    assert (await ana.ask("DELETE", f"{tokens}/{rotated.json()['id']}")).is_success
    invitation = (await acme.invite("carla", ["product"])).json()
    resent = await ana.ask("POST", f"{acme.path}/invitations/{invitation['id']}/resend")
    assert resent.is_success, resent.text
    bob = await acme.member("bob", roles=["support"])
    await acme.remove(bob)
    assert await verified(acme) == []


async def test_an_auditor_cannot_be_added_in_secret(
    acme: Organization, application_connection: Connection
) -> None:
    await refused(
        application_connection,
        "INSERT INTO auditors (user_id, granted_at, granted_by, reason_hash)"
        f" VALUES ('{acme.administrator.id}', now(), 'operator:ines', '')",
    )


@pytest.mark.parametrize("how", ["revoked", "granted for less"])
async def test_a_revoked_auditor_cannot_be_restored(
    acme: Organization, application_connection: Connection, how: str
) -> None:
    """The old event of the appointment does not explain a row that is put back."""
    deployment, email = acme.deployment, f"vera@{acme.id}.example"
    async with deployment.operator() as change:
        vera = (await grant_auditor(change, email, "the yearly audit", None)).id
    was = await application_connection.fetchrow("SELECT * FROM auditors WHERE user_id = $1", vera)
    assert was is not None
    async with deployment.operator() as change:
        if how == "revoked":
            await revoke_auditor(change, vera, "it is over")
        else:
            until = change.now + timedelta(days=1)
            await grant_auditor(change, email, "one more day", until)
    put_back = (
        f"INSERT INTO auditors ({', '.join(was.keys())}) VALUES ($1, $2, $3, $4, $5)"
        if how == "revoked"
        else "UPDATE auditors SET granted_at = $2, granted_by = $3, reason_hash = $4,"
        " expires_at = $5 WHERE user_id = $1"
    )
    names = ("user_id", "granted_at", "granted_by", "reason_hash", "expires_at")
    assert tuple(was.keys()) == names
    with pytest.raises(PostgresError, match=r"newest event|not the time of this change"):
        await application_connection.execute(put_back, *(was[name] for name in names))
    async with deployment.service.reads() as session:
        tomorrow = await deployment.service.now() + timedelta(days=2)
        assert not await is_auditor(session, vera, tomorrow)


async def test_a_finding_cannot_be_resolved_in_secret(
    acme: Organization, application_connection: Connection
) -> None:
    id = await application_connection.fetchval(
        "INSERT INTO findings (kind, organization_id, fingerprint, details)"
        f" VALUES ('foreign_write', '{acme.id}', '{acme.id}', '{{}}') RETURNING id"
    )
    await refused(
        application_connection,
        f"UPDATE findings SET resolved_at = now(), resolved_by = 'operator:ines' WHERE id = {id}",
    )
    await refused(
        application_connection,
        f"UPDATE findings SET resolved_at = '2100-01-01', resolved_by = 'x' WHERE id = {id}",
    )


@pytest.mark.parametrize(
    "change",
    [
        "issuer = 'https://evil.example', subject = 'eve'",
        "email = 'eve@evil.example'",
        "service_account_of = NULL",
        "tokens_valid_from = tokens_valid_from - interval '1 day'",
        "tokens_valid_from = '2100-01-01'",
        "tokens_valid_from = 'infinity'",
    ],
)
async def test_a_user_cannot_be_taken_over_in_secret(
    acme: Organization, application_connection: Connection, change: str
) -> None:
    await refused(
        application_connection, f"UPDATE users SET {change} WHERE id = '{acme.administrator.id}'"
    )


async def test_a_login_cannot_be_moved_to_another_user_in_secret(
    acme: Organization, application_connection: Connection, owner_connection: Connection
) -> None:
    id = acme.administrator.id
    own = f"UPDATE users SET issuer = 'https://login.example', subject = '{id}' WHERE id = '{id}'"
    event = linked(id, id)
    await run_transaction(application_connection, own, event)
    moves = f"UPDATE users SET subject = 'eve-{id}', linked_at = {{}} WHERE id = '{id}'"
    ends = f"UPDATE users SET issuer = NULL, subject = NULL, linked_at = {{}} WHERE id = '{id}'"
    for statement in (moves, ends):
        await refused(application_connection, statement.format("linked_at"), event)
        await refused(application_connection, statement.format("NULL"), event)
        await refused(application_connection, statement.format("clock_timestamp()"))
        other = EVENT.format("-", "login_linked", "user:other", "{}")
        await refused(application_connection, statement.format("clock_timestamp()"), other)
    # the application itself can move it, and leaves an event
    moved = linked(id, f"eve-{id}")
    await refused(application_connection, moves.format("clock_timestamp()"), event)
    await run_transaction(application_connection, moves.format("clock_timestamp()"), moved)
    back = f"UPDATE users SET linked_at = linked_at - interval '1 s' WHERE id = '{id}'"
    await refused(application_connection, back, moved)


async def test_an_address_cannot_be_changed_in_secret(
    acme: Organization, application_connection: Connection
) -> None:
    id = acme.administrator.id
    changes = f"UPDATE users SET email = 'eve-{id}@evil.example' WHERE id = '{id}'"
    await refused(application_connection, changes)
    for chain, kind, subject in (
        (acme.id, "user_profile_changed", f"user:{id}"),
        ("-", "signed_out", f"user:{id}"),
        ("-", "user_profile_changed", "user:other"),
    ):
        await refused(application_connection, changes, EVENT.format(chain, kind, subject, "{}"))
    ahead = f"UPDATE users SET profile_at = '2100-01-01' WHERE id = '{id}'"
    await refused(application_connection, ahead)


@pytest.mark.parametrize("column", ["checked_at", "asked_at"])
async def test_a_comparison_cannot_be_postponed_forever(
    acme: Organization, application_connection: Connection, column: str
) -> None:
    other = "asked_at" if column == "checked_at" else "checked_at"
    statement = RECONCILED.format(acme.id, column, other, "'2100-01-01'::timestamptz", "now()")
    await refused(application_connection, statement)


async def test_proofs_that_the_application_writes_itself_are_ignored(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    lie = '{"attests": {"login:eve": "anything"}}'
    await run_transaction(
        application_connection, EVENT.format(acme.id, "token_created", "user:eve", lie)
    )
    reported = (
        f"SELECT details::text FROM events WHERE chain = '{acme.id}' ORDER BY position DESC LIMIT 1"
    )
    assert await intruder.ask(reported) == "{}"
    await refused(
        application_connection, "INSERT INTO attested_rows VALUES ('login:eve', '-', 1, 'anything')"
    )


@pytest.mark.parametrize(
    ("statement", "fault", "row"),
    [
        ("UPDATE api_tokens SET hash = {hash} WHERE {mine}", "row_differs", "api_token"),
        ("UPDATE api_tokens SET people = '{{}}' WHERE {mine}", "row_differs", "api_token"),
        ("UPDATE api_tokens SET people_until = now() WHERE {mine}", "row_differs", "api_token"),
        ("UPDATE api_tokens SET people = NULL WHERE {mine}", "row_differs", "api_token"),
        ("UPDATE invitations SET token_hash = {hash} WHERE {mine}", "row_differs", "invitation"),
        (
            "UPDATE attested_rows SET proof = 'other' WHERE chain = '{id}' AND key LIKE 'api%'",
            "attestation_altered",
            "api_token",
        ),
        (
            "UPDATE attested_rows SET position = 1 WHERE chain = '{id}' AND key LIKE 'api%'",
            "attestation_altered",
            "api_token",
        ),
        ("DELETE FROM attested_rows WHERE chain = '{id}'", "row_unattested", "api_token"),
        (
            "INSERT INTO reconciliations VALUES ('{id}', '2100-01-01', 0)",
            "time_ahead",
            "reconciliation",
        ),
        (
            "UPDATE api_tokens SET last_used_at = '2100-01-01' WHERE {mine}",
            "time_ahead",
            "api_token",
        ),
    ],
)
async def test_changes_of_the_owner_to_such_rows_are_found(
    acme: Organization, intruder: Intruder, statement: str, fault: str, row: str
) -> None:
    await account_with_token(acme)
    await acme.invite("carla", ["product"])
    assert await intruder.all_findings(acme) == []
    mine = f"organization_id = '{acme.id}'"
    other = f"sha256('{acme.id}')"
    await intruder.do(statement.format(id=acme.id, mine=mine, hash=other))
    found = [
        (each.fault.value, each.row.partition(":")[0])
        for each in (await intruder.verify(acme)).findings
    ]
    assert (fault, row) in found


async def test_an_external_id_cannot_be_moved_to_another_user(
    acme: Organization, application_connection: Connection, owner_connection: Connection
) -> None:
    ana, bob = acme.administrator, await acme.member("bob", roles=["support"])
    await run_transaction(
        owner_connection,
        f"UPDATE users SET external_id = '{bob.id}', issuer = 'https://login.example',"
        f" subject = '{bob.id}' WHERE id = '{bob.id}'",
        linked(bob.id, bob.id),
    )
    move = "UPDATE users SET external_id = {} WHERE id = '{}'"
    await refused(
        application_connection, move.format("NULL", bob.id), move.format(f"'{bob.id}'", ana.id)
    )


async def test_a_type_of_the_intruder_cannot_disable_the_clock_check(
    acme: Organization, application_connection: Connection
) -> None:
    await refused(
        application_connection,
        "CREATE TYPE pg_temp.timestamptz AS ENUM ('2000-01-01')",
        RECONCILED.format(acme.id, "checked_at", "asked_at", "'2100-01-01'", "NULL"),
    )


REVIVED = {
    "an accepted one": "UPDATE invitations SET accepted_at = NULL, accepted_by = NULL",
    "a cancelled one": "UPDATE invitations SET cancelled_at = NULL",
}


@pytest.mark.parametrize("kind", REVIVED)
async def test_an_ended_invitation_cannot_be_revived(
    acme: Organization, application_connection: Connection, kind: str
) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    secret = acme.deployment.invitation_token(acme.address("bob"))
    if kind == "an accepted one":
        bob = (await acme.accept("bob")).json()["user"]
        await acme.administrator.ask("DELETE", f"{acme.path}/members/{bob}")
    else:
        await acme.administrator.ask("DELETE", f"{acme.path}/invitations/{id}")
    try:
        await run_transaction(
            application_connection,
            f"{REVIVED[kind]} WHERE organization_id = '{acme.id}' AND id = '{id}'",
            "SELECT * FROM ledger_drain()",
        )
    except PostgresError:
        return  # refused outright
    assert any("no event" in each or "event" in each for each in await verified(acme))
    answer = await acme.deployment.http.post(
        "/v1/invitations/accept", json={"token": secret, "name": "Bob"}
    )
    assert answer.status_code in (401, 409), answer.text
    assert answer.json()["code"] in ("invitation_unexplained", "sign_in_to_accept")


async def test_an_offer_that_the_intruder_raised_is_not_accepted(
    acme: Organization, application_connection: Connection
) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    await run_transaction(
        application_connection,
        f"UPDATE invitation_roles SET role = 'operations' WHERE organization_id = '{acme.id}'"
        f" AND invitation_id = '{id}'",
    )
    answer = await acme.accept("bob")
    assert answer.status_code == 409
    assert answer.json()["code"] == "invitation_unexplained"


async def test_an_event_of_a_refusal_explains_no_entry(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    bob = await acme.member("bob", roles=["support"])
    await run_transaction(
        application_connection,
        "INSERT INTO role_assignments (organization_id, user_id, role, granted_at)"
        f" VALUES ('{acme.id}', '{bob.id}', 'administrator', now())",
        "SELECT * FROM ledger_drain()",
        LEDGER.format(acme.id, acme.id, bob.id, "user:mallory", "api", "forged"),
        EVENT.format(acme.id, "refused", "", "{}"),
    )
    position = (await ledger_entries(acme))[-1].position
    assert f"ledger {position} entry_without_event" in await intruder.all_findings(acme)
