"""Which address and name a token vouches for, by the settings of its issuer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from teamaccess.common.configuration.settings import Settings
from teamaccess.directory.users.claims import Profile, ProfileClaims
from tests.support.deployment import Deployment
from tests.support.fixtures import hosted
from tests.support.issuer_server import API, RSA, IssuerServer, public
from tests.support.organization import Organization
from tests.support.responses import refused

EVE = {"email": "Eve@Acme.example", "name": "Eve"}
TRUSTING = ProfileClaims(trust_email=True)
TEXT = ProfileClaims(email_verified_as_text=True)
NOTHING = object()


@pytest.mark.parametrize(
    ("settings", "verified", "counts"),
    [
        (ProfileClaims(), True, True),
        *((ProfileClaims(), claim, False) for claim in (NOTHING, None, False, "true", 1, "false")),
        *((TEXT, claim, True) for claim in (True, "true")),
        *((TEXT, claim, False) for claim in (NOTHING, None, False, "false", "True", 1, "1", "")),
        *((TRUSTING, claim, True) for claim in (NOTHING, None, True)),
        *((TRUSTING, claim, False) for claim in (False, "false", "true", 0, "")),
    ],
)
def test_an_address_counts_if_the_issuer_has_verified_it_or_is_trusted(
    settings: ProfileClaims, verified: object, counts: bool
) -> None:
    claims: dict[str, Any] = EVE if verified is NOTHING else {**EVE, "email_verified": verified}
    assert settings.read(claims) == Profile("eve@acme.example" if counts else None, "Eve")


def test_claims_can_have_other_names() -> None:
    auth0 = ProfileClaims("https://acme.example/email", "xms_edov", "display_name")
    claims = {
        "https://acme.example/email": "eve@acme.example",
        "xms_edov": True,
        "display_name": "Eve",
        "email": "mallory@acme.example",
        "email_verified": True,
        "name": "Mallory",
    }
    assert auth0.read(claims) == Profile("eve@acme.example", "Eve")


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "x" * 101, 7, ["Eve"]])
@pytest.mark.parametrize("email", ["eve", "eve@", "a b@acme.example", 7])
def test_a_claim_that_cannot_be_used_is_named(name: object, email: object) -> None:
    claims = {"email": email, "email_verified": True, "name": name}
    assert ProfileClaims().read(claims) == Profile(None, None, ("email", "name"))


@pytest.mark.parametrize("absent", [{}, {"name": None, "email": None}, {"name": " ", "email": ""}])
def test_an_absent_claim_is_not_a_mistake(absent: dict[str, Any]) -> None:
    assert ProfileClaims().read({**absent, "email_verified": True}) == Profile(None, None)


ISSUERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no claim that the address is verified": (
        {"oidc_trust_email": True},
        {"email": "{}"},
    ),
    "the claim as text": (
        {"oidc_email_verified_as_text": True},
        {"email": "{}", "email_verified": "true"},
    ),
    "claims of other names": (
        {"oidc_email_claim": "https://x.example/email", "oidc_email_verified_claim": "xms_edov"},
        {"https://x.example/email": "{}", "xms_edov": True},
    ),
}


@pytest.fixture(params=list(ISSUERS.values()), ids=list(ISSUERS))
async def issuer_and_claims(
    fintoc: Deployment, issuer_server: IssuerServer, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Deployment, dict[str, Any]]]:
    """A process with the issuer's settings, and the claims of the issuer's tokens."""
    settings, claims = request.param
    issuer_server.keys = [public(RSA, kid="k")]
    login = {"oidc_issuer": issuer_server.url, "oidc_audience": API, **settings}
    configured = Settings(**{**fintoc.settings.model_dump(), **login})
    async for opened in hosted(configured, fintoc.owner_url):
        yield opened, claims


async def test_a_person_of_any_issuer_can_be_invited(
    acme: Organization,
    issuer_server: IssuerServer,
    issuer_and_claims: tuple[Deployment, dict[str, Any]],
) -> None:
    deployment, claims = issuer_and_claims
    shown = {
        name: value.format(acme.address("eve")) if isinstance(value, str) else value
        for name, value in claims.items()
    }
    token = issuer_server.token(RSA, "RS256", "k", sub=f"eve-{acme.id}", **shown)
    signed_in = {"Authorization": f"Bearer {token}"}
    await acme.invite("eve", ["support"])
    secret = {"token": deployment.invitation_token(acme.address("eve"))}

    elsewhere = await acme.deployment.http.post(
        "/v1/invitations/accept", json=secret, headers=signed_in
    )
    refused(elsewhere, 401, "invalid_token")  # that process does not have these settings
    accepted = await deployment.http.post("/v1/invitations/accept", json=secret, headers=signed_in)
    assert accepted.status_code == 200, accepted.text
    assert (await acme.roles_by_member())[accepted.json()["user"]] == ["support"]
