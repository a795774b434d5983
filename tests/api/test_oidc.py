"""Users sign in with their own provider: tokens of a real OpenID provider, and of a simulated one."""

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from teamaccess.directory.users.issuer import ALGORITHMS
from teamaccess.storage import User, UserId
from tests.api.claims import NOW, label, variants
from tests.oidc.login import API, Login
from tests.oidc.provider import Provider, sign_in
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


async def test_a_user_of_an_identity_provider_is_a_user_here(
    organization: Organization, eve: Login
) -> None:
    token = await sign_in(eve.provider.issuer, eve.name, API)
    me = (await eve.me(token)).json()
    assert me["email"] == organization.address("eve")
    assert me["external_id"] == eve.name
    assert (await eve.me(await sign_in(eve.provider.issuer, eve.name, API))).json() == me

    person = Person(eve.deployment, UserId(me["id"]), me["email"], token)
    refused(await person.ask("GET", organization.path), 404, "unknown_organization")
    await organization.invite("eve", ["support"])
    secret = organization.deployment.invitation_token(organization.address("eve"))
    accepted = await person.ask("POST", "/v1/invitations/accept", json={"token": secret})
    assert accepted.status_code == 200, accepted.text
    assert (await person.ask("GET", f"{organization.path}/members")).status_code == 200
    reported = [
        each
        for each in await organization.deployment.events("-")
        if each.subject == f"user:{me['id']}"
    ]
    assert [each.kind for each in reported] == ["login_linked"]


async def test_the_first_sign_in_finds_the_user_with_the_address(
    organization: Organization, eve: Login
) -> None:
    known = (await organization.add_members({"eve": ["support"]}))["eve"]
    await asyncio.sleep(1.1)  # tokens have the time of issue in whole seconds
    me = (await eve.me(await sign_in(eve.provider.issuer, eve.name, API))).json()
    assert (me["id"], me["external_id"]) == (known.id, eve.name)
    refused(await known.ask("GET", "/v1/me"), 401, "invalid_token")  # the link ended this session

    other = Login(eve.provider, eve.deployment, f"other-{organization.id}")
    same = other.token(email=known.email, email_verified=True)
    refused(await other.me(same), 409, "address_has_another_login")


@pytest.mark.parametrize("verified", [False, None, ..., "true", 1])
async def test_an_unverified_address_finds_no_user(
    organization: Organization, eve: Login, verified: Any
) -> None:
    known = (await organization.add_members({"eve": ["support"]}))["eve"]
    claims = eve.claims(sub=f"sub-{organization.id}", email_verified=verified)
    me = (await eve.me(eve.provider.sign(claims))).json()
    assert me["id"] != known.id
    assert me["email"] is None
    assert me["external_id"] == f"sub-{organization.id}"


async def test_a_user_without_an_address_cannot_accept_an_invitation(
    organization: Organization, provider: Provider
) -> None:
    nameless = Login(provider, organization.deployment, f"nameless-{organization.id}")
    token = nameless.provider.sign(nameless.claims())
    me = (await nameless.me(token)).json()
    await organization.invite("eve", ["support"])
    secret = organization.deployment.invitation_token(organization.address("eve"))
    person = Person(organization.deployment, me["id"], "", token)
    answer = await person.ask("POST", "/v1/invitations/accept", json={"token": secret})
    refused(answer, 403, "accepts_for_somebody_else")


async def test_concurrent_first_sign_ins_create_one_user(eve: Login) -> None:
    token = eve.provider.sign(eve.claims())
    answers = await asyncio.gather(*(eve.me(token) for _ in range(10)))
    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["id"] for each in answers}) == 1


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_signature_with_a_key_of_the_provider_is_valid(eve: Login, algorithm: str) -> None:
    assert (await eve.me(eve.provider.sign(eve.claims(), algorithm))).status_code == 200


WRONG = [
    *variants("aud", "https://other.example", "teamaccess", None, ..., 1, [], ["x"], {}),
    *variants("sub", None, ..., 1, "", [], "a\x00b", "a\nb", "x" * 256),
    *variants("exp", None, ..., "soon", NOW - 61, 0, [], -1),
    *variants("nbf", NOW + 3600, "later", []),
    *variants("iat", None, ..., "soon", NOW + 3600, [], 1e300),
]


@pytest.mark.parametrize("wrong", WRONG, ids=label)
async def test_a_token_with_a_wrong_claim_is_refused(eve: Login, wrong: dict[str, Any]) -> None:
    answer = await eve.me(signed(eve, eve.claims(**wrong)))
    refused(answer, 401, "invalid_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "right", [{"exp": NOW - 30}, {"nbf": NOW + 30}, {"iat": NOW + 1}], ids=label
)
async def test_clocks_may_differ_by_a_minute_but_only_two_seconds_for_the_time_of_issue(
    eve: Login, right: dict[str, Any]
) -> None:
    moved = {name: value + time.time() - NOW for name, value in right.items()}
    assert (await eve.me(signed(eve, eve.claims(**moved)))).status_code == 200


async def test_another_audience_of_the_same_provider_is_refused(eve: Login) -> None:
    token = await sign_in(eve.provider.issuer, eve.name, "https://other.example")
    refused(await eve.me(token), 401, "invalid_token")


async def test_forged_signatures_are_refused(eve: Login) -> None:
    provider, claims = eve.provider, eve.claims()
    public = jwt.PyJWK(provider.key()).key.public_key()
    kid = provider.key()["kid"]
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwks = json.dumps(jwt.get_algorithm_by_name("RS256").to_jwk(public, as_dict=True)).encode()
    elsewhere = Provider.start()
    try:
        foreign = elsewhere.sign({**claims}, kid=kid)
        others = [
            elsewhere.sign({**claims, "iss": elsewhere.issuer}),
            elsewhere.sign(claims, jku=f"{elsewhere.issuer}/jwks"),
            await sign_in(elsewhere.issuer, eve.name, API),
        ]
    finally:
        elsewhere.stop()
    good = provider.sign(claims)
    head, body, signature = good.split(".")
    more = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "root"}).encode()).rstrip(b"=")
    forged = [
        jwt.encode(claims, "", "none", headers={"kid": kid}),
        *(by_hand({"alg": alg, "kid": kid}, claims, b"") for alg in ("none", "None", "", "NONE")),
        *(
            by_hand({"alg": alg, "kid": kid}, claims, hmac_of(alg, key, kid, claims))
            for alg in ("HS256", "HS384", "HS512")
            for key in (pem, der, jwks, provider.key()["n"].encode())
        ),
        foreign,
        *others,
        provider.sign(claims, kid="unknown"),
        provider.sign(claims, kid=provider.key("ES256")["kid"]),
        by_hand({"alg": "RS256"}, claims, b"x"),
        *(provider.sign(claims, kid=wrong) for wrong in ("", "../key", "x" * 3000)),
        f"{head}.{more.decode()}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{good}x",
        provider.sign({**claims, "iss": provider.issuer + "/"}),
    ]
    for token in forged:
        refused(await eve.me(token), 401, "invalid_token")
    assert (await eve.me(good)).status_code == 200
    assert not {each for each in ALGORITHMS if each.startswith("HS") or each.lower() == "none"}


async def test_our_own_tokens_are_valid_too(organization: Organization) -> None:
    assert (await organization.administrator.ask("GET", "/v1/me")).status_code == 200


async def test_tokens_of_an_issuer_that_is_not_configured_are_refused(
    fintoc: Deployment, eve: Login
) -> None:
    token = await sign_in(eve.provider.issuer, eve.name, API)
    refused(await Login(eve.provider, fintoc, eve.name).me(token), 401, "invalid_token")


async def test_signing_out_ends_tokens_of_the_provider(eve: Login) -> None:
    token = eve.provider.sign(eve.claims(iat=int(time.time()) - 5))
    me = (await eve.me(token)).json()
    person = Person(eve.deployment, me["id"], "", token)
    assert (await person.ask("POST", "/v1/me/sign-out")).status_code == 204
    refused(await eve.me(token), 401, "invalid_token")
    await asyncio.sleep(1.1)  # tokens have the time of issue in whole seconds
    again = await sign_in(eve.provider.issuer, eve.name, API)
    assert (await eve.me(again)).json()["id"] == me["id"]


async def test_a_backend_acts_for_a_user_named_by_the_providers_subject(
    organization: Organization, eve: Login
) -> None:
    me = (await eve.me()).json()
    await organization.invite("eve", ["support"])
    secret = organization.deployment.invitation_token(organization.address("eve"))
    person = Person(organization.deployment, me["id"], "", eve.provider.sign(eve.claims()))
    await person.ask("POST", "/v1/invitations/accept", json={"token": secret})
    backend = await organization.add_backend_account("users_access")
    assert (await backend.on_behalf_of(eve.name).ask("GET", "/v1/me")).json()["id"] == me["id"]


async def test_keys_that_the_provider_replaces_are_replaced_here(
    with_provider: Deployment, eve: Login
) -> None:
    assert with_provider.service.issuer is not None
    keys = with_provider.service.issuer.keys
    old = await sign_in(eve.provider.issuer, eve.name, API)
    assert (await eve.me(old)).status_code == 200
    keys.pause = 3600.0
    await asyncio.to_thread(eve.provider.restart)

    new = await sign_in(eve.provider.issuer, eve.name, API)
    refused(await eve.me(new), 401, "invalid_token")  # unknown keys are asked for only so often
    keys.pause = 0.0
    answers = await asyncio.gather(*(eve.me(new) for _ in range(5)))
    assert {each.status_code for each in answers} == {200}
    refused(await eve.me(old), 401, "invalid_token")


async def test_known_keys_stay_valid_while_the_provider_is_away(
    with_provider: Deployment, eve: Login
) -> None:
    assert with_provider.service.issuer is not None
    with_provider.service.issuer.keys.pause = 0.0
    token = eve.provider.sign(eve.claims())
    assert (await eve.me(token)).status_code == 200
    eve.provider.stop()
    try:
        assert (await eve.me(token)).status_code == 200
        unknown = eve.provider.sign(eve.claims(), kid="unknown")
        refused(await eve.me(unknown), 503, "login_unavailable")
    finally:
        again = await asyncio.to_thread(Provider.start, eve.provider.port)
        eve.provider.process, eve.provider.reported = again.process, again.reported
    assert (await eve.me()).status_code == 200


async def test_a_linked_user_is_found_only_by_issuer_and_subject(
    with_provider: Deployment, eve: Login
) -> None:
    me = (await eve.me()).json()
    async with with_provider.service.reads() as session:
        row = await session.get_one(User, me["id"])
    assert (row.issuer, row.subject) == (eve.provider.issuer, eve.name)
    claims = eve.claims(email="somebody.else@example.org")
    assert (await eve.me(eve.provider.sign(claims))).json()["id"] == me["id"]


def signed(login: Login, claims: dict[str, Any]) -> str:
    """A token whose claims no library would write, with the provider's signature."""
    key = login.provider.key()
    algorithm = jwt.get_algorithm_by_name("RS256")
    header = {"alg": "RS256", "kid": key["kid"]}
    return by_hand(header, claims, algorithm.sign(_input(header, claims), jwt.PyJWK(key).key))


def hmac_of(alg: str, key: bytes, kid: str, claims: dict[str, Any]) -> bytes:
    """A signature that uses a public key as a secret."""
    algorithm = jwt.get_algorithm_by_name(alg)
    signature: bytes = algorithm.sign(_input({"alg": alg, "kid": kid}, claims), key)
    return signature


def by_hand(header: dict[str, Any], claims: dict[str, Any], signature: bytes) -> str:
    """A token assembled by hand."""
    last = base64.urlsafe_b64encode(signature).rstrip(b"=")
    return b".".join([_input(header, claims), last]).decode()


def _input(*parts: dict[str, Any]) -> bytes:
    return b".".join(
        base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in parts
    )
