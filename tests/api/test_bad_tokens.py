"""Access tokens with a wrong signature, a wrong claim or a malformed header are all refused with 401."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from teamaccess.directory.users.keys import Keys
from teamaccess.directory.users.tokens import Audience
from tests.api.claims import NOW, label, variants
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused

OTHERS = Keys.from_secret("another secret")


def claims(organization: Organization, **instead: Any) -> dict[str, Any]:
    """The claims of a valid token of the administrator, with changes."""
    good = {
        "aud": Audience.USER,
        "sub": organization.administrator.id,
        "iat": time.time(),
        "exp": NOW + 3600,
        "jti": "1",
    }
    return {name: value for name, value in {**good, **instead}.items() if value is not ...}


def signed(
    organization: Organization, key: bytes | None = None, kid: Any = "", **instead: Any
) -> str:
    """A token with our signature, unless another key is given."""
    keys = organization.deployment.service.keys
    header = {"kid": keys.token_key_id if kid == "" else kid}
    return by_hand(
        {"alg": "HS256", "typ": "JWT", **header},
        claims(organization, **instead),
        key or keys.tokens,
    )


def by_hand(header: dict[str, Any], payload: Any, key: bytes) -> str:
    """A token that no library would make."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, payload)
    ]
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = base64.urlsafe_b64encode(algorithm.sign(b".".join(parts), key)).rstrip(b"=")
    return b".".join([*parts, signature]).decode()


WRONG = [
    *variants("aud", "other", "", None, ..., 1, ["other"], ["teamaccess", "other"], {}),
    *variants("sub", None, ..., 1, "", "nobody", "a\x00b", "a\nb", "x" * 101, [], "a b"),
    *variants("iat", None, ..., "soon", True, [], -1, 0, 1e18, -1e18, 1e300, 1e9),
    *variants("iat", float("nan"), float("inf"), NOW + 36_000, 10**400),
    *variants("exp", None, ..., "soon", NOW - 60, 0, -1, [], -1e300),
    *variants("jti", None, ...),
    *variants("nbf", NOW + 36_000, "later", []),
]


@pytest.mark.parametrize("wrong", WRONG, ids=label)
async def test_our_own_token_with_a_wrong_claim_is_refused(
    acme: Organization, wrong: dict[str, Any]
) -> None:
    acme.administrator.token = signed(acme, **wrong)
    answer = await acme.administrator.ask("GET", "/v1/me")
    refused(answer, 401, "invalid_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_same_token_without_a_wrong_claim_is_valid(acme: Organization) -> None:
    acme.administrator.token = signed(acme)
    assert (await acme.administrator.ask("GET", "/v1/me")).status_code == 200


ALGORITHMS = ["none", "None", "", None, 1, "RS256", "hs256", "HS384"]


async def test_a_token_with_another_signature_is_refused(acme: Organization) -> None:
    keys = acme.deployment.service.keys
    payload, good = claims(acme), signed(acme)
    head, body, signature = good.split(".")
    forged = [
        signed(acme, key=OTHERS.tokens),
        signed(acme, key=OTHERS.tokens, kid=OTHERS.token_key_id),
        *(signed(acme, kid=kid) for kid in (None, OTHERS.token_key_id, 1, "../../key", "x" * 9000)),
        jwt.encode(payload, "", algorithm="none"),
        jwt.encode(payload, keys.tokens * 2, algorithm="HS512", headers={"kid": keys.token_key_id}),
        *(
            by_hand({"alg": alg, "kid": keys.token_key_id}, payload, keys.tokens)
            for alg in ALGORITHMS
        ),
        by_hand({"alg": "HS256", "kid": keys.token_key_id, "crit": ["x"]}, payload, keys.tokens),
        by_hand({"alg": "HS256", "kid": keys.token_key_id}, [], keys.tokens),
        by_hand({"alg": "HS256", "kid": keys.token_key_id}, "x", keys.tokens),
        *(
            f"{head}.{body}",
            f"{head}.{body}.",
            f"{head}..{signature}",
            f"{head}.{body}.{signature}.",
        ),
        f"{head}.{body}x.{signature}",
        f"{good}x",
    ]
    for token in forged:
        acme.administrator.token = token
        refused(await acme.administrator.ask("GET", "/v1/me"), 401, "invalid_token")


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", "Bearer x", "Bearer x.y.z", "Bearer ...", "Bearer null"),
        *(
            "Basic YTpi",
            "Digest x",
            "Token x",
            "Bearer é",
            "Bearer \xff",
            "Bearer " + "x" * 100_000,
        ),
        *("Bearer a b c", "Bearer\tx", "Negotiate", "Bearer eyJhbGciOiJub25lIn0.e30."),
    ],
)
async def test_a_malformed_authorization_header_is_refused_on_every_kind_of_path(
    fintoc: Deployment, header: str
) -> None:
    for path in ("/v1/me", "/v1/catalog", "/v1/organizations/acme", "/healthz"):
        sent = {b"Authorization": header.encode("latin-1")}
        refused(await fintoc.http.get(path, headers=sent), 401, "invalid_token")


async def test_the_scheme_may_be_in_any_case(acme: Organization) -> None:
    for scheme in ("bearer", "BEARER"):
        sent = {"Authorization": f"{scheme} {acme.administrator.token}"}
        assert (await acme.deployment.http.get("/v1/me", headers=sent)).status_code == 200


async def test_a_users_token_is_not_an_operators_and_an_operators_is_not_a_users(
    acme: Organization,
) -> None:
    operator = await acme.deployment.operator_person()
    refused(await operator.ask("GET", "/v1/me"), 403, "users_only")
    body = {"id": f"{acme.id}-x", "name": "X"}
    answer = await acme.administrator.ask("POST", "/v1/organizations", json=body)
    refused(answer, 403, "only_operators_found")


async def test_signing_out_ends_every_earlier_session_and_no_later_one(
    acme: Organization,
) -> None:
    ana = acme.administrator
    old = [ana.token, await acme.deployment.token(ana.id)]
    assert (await ana.ask("POST", "/v1/me/sign-out")).status_code == 204
    for token in old:
        ana.token = token
        refused(await ana.ask("GET", "/v1/me"), 401, "invalid_token")
    ana.token = await acme.deployment.token(ana.id)
    assert (await ana.ask("GET", "/v1/me")).status_code == 200
