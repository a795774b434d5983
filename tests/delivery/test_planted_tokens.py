"""ZedTokens and statuses that the application's database role planted stop no organization."""

import base64

import pytest

from teamaccess.ledger.zed_tokens import is_zed_token
from tests.attacks.test_stolen_database_password import verified
from tests.support.database_connections import Connection
from tests.support.organization import Organization

PLANTED = {
    "a word": "garbage",
    "nothing": "",
    "base64 of something else": base64.b64encode(b"something else").decode(),
    "a message of another kind": base64.b64encode(b"\x22\x02\x08\x01").decode(),
    "a message without a revision": base64.b64encode(b"\x1a\x02\x0a\x00").decode(),
    "a revision that is a word": base64.b64encode(b"\x1a\x06\x0a\x04evil").decode(),
}
PLANT = "UPDATE ledger_applications SET zed_token = $2 WHERE organization_id = $1"
READ = ("members", "roles", "teams", "audit/matrix")


@pytest.mark.parametrize("case", PLANTED)
async def test_a_planted_token_counts_as_absent(
    acme: Organization, application_connection: Connection, case: str
) -> None:
    """Checks are fully consistent until the next change brings a token of its own."""
    bob = await acme.member("bob", roles=["support"])
    token = PLANTED[case]
    await application_connection.execute(PLANT, acme.id, token)
    for path in READ:
        answer = await acme.administrator.ask("GET", f"{acme.path}/{path}")
        assert answer.is_success, answer.text
    named = any("ZedToken" in fault for fault in await verified(acme))
    assert named is not is_zed_token(token)
    changed = await acme.change_roles(bob, "product")
    assert changed.is_success, changed.text
    assert await verified(acme) == []


async def test_a_refusal_before_an_applied_position_stops_nothing_and_is_found(
    acme: Organization,
) -> None:
    """PostgreSQL refuses it since migration 0026, so this is an older one."""
    bob = await acme.member("bob", roles=["support"])
    await acme.deployment.execute_without_triggers(
        "UPDATE ledger_applications SET status = 'refused', refusal = 'planted'"
        " WHERE organization_id = $1 AND position = 1",
        acme.id,
    )
    assert [fault for fault in await verified(acme) if "counts as refused" in fault]
    changed = await acme.change_roles(bob, "product")
    assert changed.is_success, changed.text
    assert (await acme.roles_by_member())[bob.id] == ["product"]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("GiQKGENQY01JUFlNS0xEd205Q0Z5N24yR0E9PRIINzUzNjVmZmQ=", True),
        (base64.b64encode(b"\x1a\x80\x01" + b"x" * 128).decode(), True),
        (base64.b64encode(b"\x1a\x80\x01" + b"x" * 127).decode(), False),
        ("garbage", False),
        ("d\u00e9", False),
        (None, False),
    ],
)
def test_a_token_is_a_message_of_one_field(text: str | None, valid: bool) -> None:
    assert is_zed_token(text) is valid
