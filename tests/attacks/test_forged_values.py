"""Mallory has the application's database password, and writes values that the application cannot read.

PostgreSQL refuses such a value. Values from before these checks stop no reader of other organizations.
"""

import pytest
from asyncpg import PostgresError

from teamaccess.api.requests.idempotency import StoredAnswerUnusable, stored_answer
from teamaccess.common.configuration.secret import hash_of, new_secret
from teamaccess.directory.service_accounts.sign_in import PREFIX
from teamaccess.storage import IdempotencyKey
from tests.attacks.test_stolen_database_password import EVENT, LEDGER
from tests.support.database_connections import Connection, run_transaction
from tests.support.intruder import Intruder
from tests.support.organization import Organization

DETAILS = {
    "a number of 5,001 digits": '{"x": 1e5000}',
    "a number beyond 64 bits": '{"x": 1e19}',
    "2,000 nested objects": '{"a":' * 2000 + "1" + "}" * 2000,
    "100 nested lists": '{"a":' + "[" * 100 + "]" * 100 + "}",
    "5 megabytes": '{"a": "' + "x" * 5_000_000 + '"}',
    "a list": "[1, 2]",
}
UNREADABLE = ("a number of 5,001 digits", "2,000 nested objects")
TIMES = ("4713-01-01 BC", "infinity", "-infinity", "1969-12-31", "10000-01-01")


async def refused(connection: Connection, *statements: str) -> None:
    """PostgreSQL refuses the transaction because of a check, not because of a mistake in the SQL."""
    with pytest.raises(PostgresError) as refusal:
        await run_transaction(connection, *statements)
    assert refusal.value.sqlstate in ("23514", "23000", "42501", "54001"), refusal.value


@pytest.mark.parametrize("case", DETAILS)
async def test_an_event_has_details_that_every_reader_can_read(
    acme: Organization, application_connection: Connection, case: str
) -> None:
    await refused(
        application_connection,
        EVENT.format(acme.id, "roles_changed", "user:eve", DETAILS[case]),
    )


@pytest.mark.parametrize("case", UNREADABLE)
async def test_unreadable_details_are_a_fault_of_their_entry_alone(
    acme: Organization, globex: Organization, intruder: Intruder, case: str
) -> None:
    """An event from before the check stays, because events are immutable."""
    await intruder.do("ALTER TABLE events DROP CONSTRAINT IF EXISTS events_details_check")
    await intruder.do("SET LOCAL session_replication_role = origin")
    for organization, details in ((acme, DETAILS[case]), (globex, "{}")):
        await intruder.do(
            EVENT.format(organization.id, "roles_changed", "user:eve", details),
            LEDGER.format(organization.id, organization.id, "eve", "user:mallory", "api", "forged"),
        )
    faults = (await intruder.verify_everything()).findings
    found = {each.chain for each in faults if each.fault == "entry_unexplained"}
    assert {acme.id, globex.id} <= found


ROWS = {
    "activity": "INSERT INTO activity (organization_id, user_id, last_active_at)"
    " VALUES ('{acme}', '{ana}', '{at}')"
    " ON CONFLICT (organization_id, user_id) DO UPDATE SET last_active_at = '{at}'",
    "teams": "INSERT INTO teams (organization_id, id, name, created_at)"
    " VALUES ('{acme}', 'pay', 'Pay', '{at}')",
    "custom_roles": "INSERT INTO custom_roles (organization_id, id, name, created_at)"
    " VALUES ('{acme}', 'refunder', 'Refunder', '{at}')",
    "access_requests": "INSERT INTO access_requests"
    " (organization_id, id, user_id, role, hours, reason_hash, requested_at)"
    " VALUES ('{acme}', 'req_1', '{ana}', 'product', 1, '', '{at}')",
    "ledger_applications": "UPDATE ledger_applications SET enforced_at = '{at}'"
    " WHERE organization_id = '{acme}'",
    "users": "INSERT INTO users (id, email, created_at)"
    " VALUES ('usr_of_{acme}', 'someone@{acme}.example', '{at}')",
    "idempotency_keys": "INSERT INTO idempotency_keys"
    " (actor, key, fingerprint, status_code, positions, created_at)"
    " VALUES ('user:{ana}', 'k', '', 200, '{{}}', '{at}')",
}


@pytest.mark.parametrize("table", ROWS)
async def test_a_time_of_a_row_is_one_that_every_reader_can_read(
    acme: Organization, application_connection: Connection, table: str
) -> None:
    for at in TIMES:
        statement = ROWS[table].format(acme=acme.id, ana=acme.administrator.id, at=at)
        await refused(application_connection, statement)
    for path in ("members", "teams", "roles", "access-requests"):
        answer = await acme.administrator.ask("GET", f"{acme.path}/{path}")
        assert answer.is_success, answer.text


@pytest.mark.parametrize(
    "selectors",
    [
        "5",
        "null",
        '[{"evil": 1}]',
        "[1e5000]",
        "[[]]",
        '[{"resource": "webhooks", "level": 1}]',
        '[{"resource": "webhooks"}]',
        '[{"resource": "a", "level": "b", "evil": "c"}]',
    ],
)
async def test_the_selectors_of_a_custom_role_have_their_shape(
    acme: Organization, application_connection: Connection, selectors: str
) -> None:
    await refused(
        application_connection,
        "INSERT INTO custom_roles (organization_id, id, name, selectors)"
        f" VALUES ('{acme.id}', 'refunder', 'Refunder', '{selectors}')",
    )


@pytest.mark.parametrize(
    "change",
    [
        "positions = '{\"acme\": 1e300}'",
        "positions = '{\"acme\": 1.5}'",
        'positions = \'{"acme": "1"}\'',
        "positions = '[]'",
        "positions = '{\"acme\\r\\nX-Evil: 1\": 1}'",
        "status_code = 999",
        "status_code = -1",
        "body = '{\"x\": 1e5000}'",
    ],
)
async def test_the_stored_answer_of_a_key_has_its_shape(
    acme: Organization, application_connection: Connection, change: str
) -> None:
    team = {"id": "pay", "name": "Pay"}
    headers = {"Idempotency-Key": "k1"}
    created = await acme.administrator.ask("POST", f"{acme.path}/teams", json=team, headers=headers)
    assert created.status_code == 201, created.text
    await refused(
        application_connection,
        f"UPDATE idempotency_keys SET {change} WHERE actor = 'user:{acme.administrator.id}'",
    )
    again = await acme.administrator.ask("POST", f"{acme.path}/teams", json=team, headers=headers)
    assert (again.status_code, again.json()) == (201, created.json())
    assert "X-Evil" not in again.headers


@pytest.mark.parametrize(
    ("status", "positions"),
    [(999, {}), (42, {}), (201, []), (201, {"a\r\nX-Evil: 1": 1}), (201, {"acme": 1.5}),
     (201, {"acme": True}), (201, {"acme": -1}), (201, {"unreadable": True})],
)  # fmt: skip
def test_a_stored_answer_from_before_the_checks_is_refused(status: int, positions: object) -> None:
    row = IdempotencyKey(status_code=status, body=None, positions=positions)
    with pytest.raises(StoredAnswerUnusable):
        stored_answer(row)


async def test_a_planted_user_is_not_signed_out_for_years(
    acme: Organization, application_connection: Connection
) -> None:
    for column in ("tokens_valid_from", "linked_at", "created_at"):
        for at in ("infinity", "2100-01-01"):
            await refused(
                application_connection,
                f"INSERT INTO users (id, email, {column})"
                f" VALUES ('planted-{acme.id}', 'frida@{acme.id}.example', '{at}')",
            )


async def test_a_person_gets_no_api_token(
    acme: Organization,
    application_connection: Connection,
    owner_connection: Connection,
    intruder: Intruder,
) -> None:
    """The token would act as the administrator, survive a sign-out, and be in no list."""
    ana = acme.administrator.id
    end = "2030-01-01T00:00:00+00:00"
    secret = new_secret(PREFIX)
    plant = (
        "INSERT INTO api_tokens"
        " (organization_id, id, user_id, name, hash, created_by, expires_at) VALUES"
        f" ('{acme.id}', 'planted', '{ana}', 'x', '\\x{hash_of(secret).hex()}',"
        f" 'user:mallory', '{end}')"
    )
    recorded = EVENT.format(
        acme.id, "token_created", f"user:{ana}", f'{{"token": "planted", "expires_at": "{end}"}}'
    )
    await refused(application_connection, plant, recorded)
    await intruder.do(plant)  # as before the check
    assert ("row_unattested", f"api_token:{acme.id}/planted") in [
        (each.fault, each.row) for each in (await intruder.verify(acme)).findings
    ]
    await intruder.connection.rollback()


async def test_a_token_of_a_person_from_before_signs_nobody_in(
    acme: Organization, owner_connection: Connection
) -> None:
    secret = new_secret(PREFIX)
    plant = (
        "INSERT INTO api_tokens"
        " (organization_id, id, user_id, name, hash, created_by, expires_at) VALUES"
        f" ('{acme.id}', 'planted', '{acme.administrator.id}', 'x',"
        f" '\\x{hash_of(secret).hex()}', 'user:mallory', '2030-01-01')"
    )
    async with owner_connection.transaction():
        await owner_connection.execute("ALTER TABLE api_tokens DISABLE TRIGGER USER")
        await owner_connection.execute(plant)
        await owner_connection.execute("ALTER TABLE api_tokens ENABLE TRIGGER USER")
    headers = {"Authorization": f"Bearer {secret}"}
    answer = await acme.deployment.http.get(f"{acme.path}/members", headers=headers)
    assert answer.status_code == 401, answer.text
    # other tests verify the chains of the whole database
    await owner_connection.execute("DELETE FROM api_tokens WHERE id = 'planted'")


async def test_an_early_token_is_not_forgotten_before_its_end(
    acme: Organization, application_connection: Connection
) -> None:
    """Without its note, the token would outlive a sign-out."""
    await application_connection.execute(
        f"INSERT INTO early_tokens (id, expires_at) VALUES ('{acme.id}', now() + interval '1 hour')"
    )
    await refused(application_connection, f"DELETE FROM early_tokens WHERE id = '{acme.id}'")
    await refused(
        application_connection,
        f"UPDATE early_tokens SET expires_at = now() - interval '1 s' WHERE id = '{acme.id}'",
    )


IDENTITY = {
    "login_moved": ("UPDATE users SET external_id = 'eve-sub' WHERE id = '{ana}'", "{ana}", "{{}}"),
    "address_released": (
        "INSERT INTO users (id, external_id) VALUES ('planted-{acme}', 'ext-{acme}')",
        "planted-{acme}",
        "{{}}",
    ),
    "user_profile_changed": (
        "UPDATE users SET external_id = '{bob}' WHERE id = '{ana}'",
        "{ana}",
        '{{"changed": ["email"]}}',
    ),
    "login_linked": (
        "UPDATE users SET issuer = 'https://i.example', subject = 'e' WHERE id = '{ana}'",
        "{ana}",
        '{{"issuer": "https://i.example"}}',
    ),
}


@pytest.mark.parametrize("kind", IDENTITY)
async def test_an_event_attests_only_the_login_that_it_names(
    acme: Organization, application_connection: Connection, kind: str
) -> None:
    bob = await acme.member("bob", roles=["support"])
    names = {"acme": acme.id, "ana": acme.administrator.id, "bob": bob.id}
    change, subject, details = (each.format(**names) for each in IDENTITY[kind])
    await refused(
        application_connection, change, EVENT.format("-", kind, f"user:{subject}", details)
    )


async def test_a_rename_is_attested_by_its_own_event_alone(
    acme: Organization, application_connection: Connection
) -> None:
    rename = f"UPDATE organizations SET name = 'Evil' WHERE id = '{acme.id}'"
    for kind in ("organization_created", "organization_renamed"):
        recorded = EVENT.format(acme.id, kind, f"organization:{acme.id}", "{}")
        await refused(application_connection, rename, recorded)


async def test_an_auditor_is_not_backdated(
    acme: Organization, application_connection: Connection
) -> None:
    id = acme.administrator.id
    await refused(
        application_connection,
        "INSERT INTO auditors (user_id, granted_at, granted_by, reason_hash)"
        f" VALUES ('{id}', '2001-01-01', 'user:mallory', 'r')",
        EVENT.format("-", "auditor_granted", f"user:{id}", '{"until": null}')
        .replace("details)", "details, reason_hash)")
        .replace("}')", "}', 'r')"),
    )


async def test_an_invitation_that_was_sent_very_often_is_sent_again(
    acme: Organization, application_connection: Connection
) -> None:
    id = (await acme.invite("carla", ["product"])).json()["id"]
    await run_transaction(
        application_connection,
        "UPDATE invitations SET times_sent = 2147483647, sent_at = '2026-01-01'"
        f" WHERE organization_id = '{acme.id}' AND id = '{id}'",
        "SELECT * FROM ledger_drain()",
    )
    path = f"{acme.path}/invitations/{id}/resend"
    sent = await acme.administrator.ask("POST", path)
    assert sent.is_success, sent.text
