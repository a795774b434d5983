"""One spelling for every address: which spellings are one invitee, and which are different people."""

import pytest

from teamaccess.directory.users.addresses import invitee
from tests.support.organization import Organization
from tests.support.responses import refused


async def invite(organization: Organization, email: str) -> str:
    """Invite an address. Returns its canonical spelling."""
    body = {"email": email, "roles": ["support"]}
    answer = await organization.administrator.ask(
        "POST", f"{organization.path}/invitations", json=body
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["email"])


SAME = [
    ("Bob@Example.com", "bob@example.COM", "bob@example.com"),
    ("  bob@example.com ", "bob@example.com", "bob@example.com"),
    ("bob@Bücher.example", "bob@xn--bcher-kva.example", "bob@xn--bcher-kva.example"),
    ("bob@bu\u0308cher.example", "bob@bücher.example", "bob@xn--bcher-kva.example"),
    ("bob@example。com", "bob@example.com.", "bob@example.com"),
    ("zoe\u0308@example.com", "Zo\u00eb@example.com", "zo\u00eb@example.com"),
]


@pytest.mark.parametrize(("one", "other", "spelling"), SAME)
async def test_two_spellings_of_one_address_are_one_invitation(
    acme: Organization, one: str, other: str, spelling: str
) -> None:
    assert await invite(acme, one) == spelling

    again = await acme.administrator.ask(
        "POST", f"{acme.path}/invitations", json={"email": other, "roles": ["support"]}
    )

    refused(again, 409, "already_invited")


async def test_plus_tags_and_dots_are_kept(
    acme: Organization,
) -> None:
    spellings = ["ann.lee@example.com", "annlee@example.com", "ann.lee+x@example.com"]
    assert [await invite(acme, each) for each in spellings] == spellings


async def test_an_address_beyond_ascii_gets_its_mail_and_can_accept(acme: Organization) -> None:
    address = await invite(acme, f"zoë@{acme.id}.bücher.example")

    secret = acme.deployment.invitation_token(address)
    accepted = await acme.deployment.http.post("/v1/invitations/accept", json={"token": secret})

    assert accepted.status_code == 200
    target = accepted.json()["user"]
    member = (await acme.administrator.ask("GET", f"{acme.path}/members/{target}")).json()
    assert member["email"] == address == f"zoë@{acme.id}.xn--bcher-kva.example"


async def test_spicedb_contains_a_keyed_hash_of_an_invitee_and_never_the_address(
    acme: Organization,
) -> None:
    answer = await acme.invite("bob", ["support"])
    row = await acme.invitation(answer.json()["id"])

    assert row.invitee == invitee(acme.deployment.service.keys.invitees, acme.address("bob"))
    assert f"#invitee@email:{row.invitee}" in (await acme.ledger())[-1][0]
    assert "bob" not in str(await acme.ledger())


async def test_the_same_address_may_be_invited_by_two_organizations(
    acme: Organization, globex: Organization
) -> None:
    address = f"bob@{acme.id}.example"
    assert await invite(acme, address) == await invite(globex, address)


UNLIKELY = [
    "bob",
    "bob@",
    "@example.com",
    "bob@localhost",
    "bob@exa mple.com",
    "bob smith@example.com",
    "bob@@example.com",
    '"bob"@example.com',
    "bob@[127.0.0.1]",
    "bob@example..com",
    "bob@-example.com",
    "bob..b@example.com",
    ".bob@example.com",
    "bob.@example.com",
    "bob\r\nBcc: eve@example.com",
    "bob\x00@example.com",
    "bob\u200b@example.com",
    "bob@example.com\u202e",
    "=?utf-8?q?eve=40example.org?=@example.com",
    "Bob <bob@example.com>",
    "bob@example.com,eve@example.com",
    "b" * 65 + "@example.com",
    "bob@" + "x" * 64 + ".com",
    "bob@" + ".".join(["x" * 60] * 5),
]


@pytest.mark.parametrize("address", UNLIKELY)
async def test_an_address_that_cannot_receive_mail_is_refused(
    acme: Organization, address: str
) -> None:
    before = await acme.ledger()

    answer = await acme.administrator.ask(
        "POST", f"{acme.path}/invitations", json={"email": address, "roles": ["support"]}
    )

    refused(answer, 400, "invalid_email")
    assert await acme.ledger() == before
