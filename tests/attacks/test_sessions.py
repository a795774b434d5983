"""No session outlives its end: a sign-out, a removal, a linked login, other settings."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm
from sqlalchemy import func, select, text

from teamaccess.common.configuration.settings import Settings
from teamaccess.directory.users.early_tokens import MOST_AHEAD, note_early
from teamaccess.directory.users.logins import first_sign_in
from teamaccess.directory.users.tokens import Audience, InvalidToken, Login, issue_access_token
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, EarlyToken, User
from tests.support.deployment import Deployment
from tests.support.fixtures import hosted
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused

WHO = Attribution("anonymous", Channel.API, "tests")
ISSUER, API, KEY = "https://login.example", "https://api.example", "key-1"
PRIVATE = generate_private_key(SECP256R1())


@pytest.fixture(scope="module")
async def deployment(fintoc: Deployment) -> AsyncIterator[Deployment]:
    """A process that accepts a login's tokens; its public key is known already."""
    async for opened in hosted(_with_login(fintoc.settings), fintoc.owner_url):
        _know_key(opened)
        yield opened


@pytest.fixture
async def organization(deployment: Deployment) -> Organization:
    return await deployment.create_organization("acme")


def _with_login(settings: Settings, issuer: str = ISSUER, audience: str = API) -> Settings:
    return settings.model_copy(update={"oidc_issuer": issuer, "oidc_audience": audience})


def _know_key(deployment: Deployment) -> None:
    """Set the issuer's key, so that the process does not fetch it."""
    assert deployment.service.issuer is not None
    keys = deployment.service.issuer.keys
    public = json.loads(ECAlgorithm.to_jwk(PRIVATE.public_key()))
    keys._keys = [{**public, "kid": KEY, "alg": "ES256"}]
    keys._known_at = keys._tried_at = time.monotonic()


def login_token(who: str, email: str | None, issued_at: float, audience: str = API) -> str:
    """A token of the login."""
    claims = {
        "iss": ISSUER,
        "sub": who,
        "aud": audience,
        "iat": issued_at,
        "exp": int(time.time()) + 3600,
    }
    if email is not None:
        claims |= {"email": email, "email_verified": True}
    return jwt.encode(claims, PRIVATE, "ES256", headers={"kid": KEY})


async def clock(deployment: Deployment) -> float:
    """The time by PostgreSQL's clock, which decides about tokens."""
    return (await deployment.service.now()).timestamp()


async def me(deployment: Deployment, token: str) -> httpx.Response:
    return await Person(deployment, None, "", token).ask("GET", "/v1/me")  # type: ignore[arg-type]


async def until(deployment: Deployment, moment: float) -> None:
    """Wait until PostgreSQL's clock has reached the moment."""
    async with deployment.service.reads() as session:
        await session.execute(
            text("SELECT pg_sleep_until(to_timestamp(:moment))"), {"moment": moment}
        )


async def test_linking_a_login_ends_earlier_sessions(organization: Organization) -> None:
    """Mallory has used the account. Now the owner of the address signs in."""
    deployment = organization.deployment
    mallory = (await organization.add_members({"eve": ["support"]}))["eve"]
    issued = int(await clock(deployment))
    await until(deployment, issued + 1.2)
    mallory.token = await deployment.token(
        mallory.id
    )  # later than the login's token that will link
    earlier = "UPDATE users SET tokens_valid_from = created_at - interval '1 minute' WHERE id = $1"
    await deployment.execute_without_triggers(earlier, mallory.id)
    assert (await mallory.ask("GET", "/v1/me")).status_code == 200

    login = login_token(f"eve-{organization.id}", mallory.email, issued)
    linked = await me(deployment, login)

    assert linked.json()["id"] == mallory.id
    refused(await mallory.ask("GET", "/v1/me"), 401, "invalid_token")
    refused(await mallory.ask("GET", f"{organization.path}/members"), 401, "invalid_token")
    assert (await me(deployment, login)).status_code == 200
    fresh = await deployment.token(mallory.id)
    assert (await me(deployment, fresh)).status_code == 200


async def test_a_session_from_before_the_link_cannot_accept_an_invitation(
    organization: Organization, deployment: Deployment
) -> None:
    other = await deployment.create_organization("globex")
    mallory = (await organization.add_members({"eve": ["support"]}))["eve"]
    (
        await other.administrator.ask(
            "POST",
            f"{other.path}/invitations",
            json={"email": mallory.email, "roles": ["support"]},
        )
    ).raise_for_status()
    secret = deployment.invitation_token(mallory.email)
    linked = await me(
        deployment, login_token(f"eve-{organization.id}", mallory.email, int(time.time()) + 1)
    )
    assert linked.status_code == 200
    taken = await mallory.ask("POST", "/v1/invitations/accept", json={"token": secret})
    refused(taken, 401, "invalid_token")


async def test_a_login_token_older_than_the_sign_out_links_nothing(
    organization: Organization,
) -> None:
    eve = (await organization.add_members({"eve": ["support"]}))["eve"]
    service = organization.deployment.service
    now = await service.now()
    old = Login(ISSUER, f"eve-{organization.id}", now, now + timedelta(hours=1), eve.email, None)
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204

    async with service.ledger.change(WHO) as change:
        with pytest.raises(InvalidToken):
            await first_sign_in(change, old)
    async with service.reads() as session:
        assert (await session.get_one(User, eve.id)).issuer is None


@pytest.mark.parametrize("ahead", [3, 30, 59, 3600])
async def test_a_token_dated_in_the_future_is_refused_with_a_reason(
    organization: Organization, ahead: int
) -> None:
    token = login_token(
        f"eve-{organization.id}", None, await clock(organization.deployment) + ahead
    )
    problem = refused(await me(organization.deployment, token), 401, "invalid_token")
    assert "clock" in problem["detail"]


async def test_a_token_dated_slightly_ahead_is_valid_once_its_time_has_come(
    organization: Organization,
) -> None:
    issued = await clock(organization.deployment) + 1
    assert (
        await me(organization.deployment, login_token(f"eve-{organization.id}", None, issued))
    ).status_code == 200
    assert await clock(organization.deployment) >= issued


async def test_a_token_in_use_does_not_outlive_a_sign_out(organization: Organization) -> None:
    deployment, name = organization.deployment, f"eve-{organization.id}"
    token = login_token(name, None, await clock(deployment) + MOST_AHEAD.total_seconds() - 0.5)
    eve = Person(deployment, (await me(deployment, token)).json()["id"], "", token)
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    refused(await me(deployment, token), 401, "invalid_token")
    await until(deployment, await clock(deployment) + MOST_AHEAD.total_seconds())
    refused(await me(deployment, token), 401, "invalid_token")


async def test_a_sign_out_while_a_token_waits_for_its_time_counts(
    organization: Organization,
) -> None:
    deployment, name = organization.deployment, f"eve-{organization.id}"
    now = await clock(deployment)
    (await me(deployment, login_token(name, None, int(now)))).raise_for_status()
    token = login_token(name, None, now + 1.9)
    waiting = asyncio.create_task(me(deployment, token))
    await until(deployment, now + 1)
    eve = Person(deployment, None, "", login_token(name, None, now + 0.9))  # type: ignore[arg-type]
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    assert not waiting.done()
    refused(await waiting, 401, "invalid_token")
    refused(await me(deployment, token), 401, "invalid_token")


async def test_a_token_refused_as_too_early_does_not_outlive_a_sign_out(
    organization: Organization,
) -> None:
    deployment, name = organization.deployment, f"eve-{organization.id}"
    now = await clock(deployment)
    early = login_token(name, None, now + 4)
    refused(await me(deployment, early), 401, "invalid_token")
    eve = Person(deployment, None, "", login_token(name, None, now))  # type: ignore[arg-type]
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    await until(deployment, now + 4.1)
    refused(await me(deployment, early), 401, "invalid_token")
    assert (await me(deployment, login_token(name, None, now + 4.05))).status_code == 200


async def test_our_own_token_dated_ahead_is_treated_alike(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    service = acme.deployment.service

    async def ahead(seconds: float) -> str:
        issued = datetime.fromtimestamp(await clock(acme.deployment) + seconds, UTC)
        return issue_access_token(service.keys, Audience.USER, bob.id, issued, timedelta(hours=1))

    bob.token = await ahead(8)
    assert "clock" in refused(await bob.ask("GET", "/v1/me"), 401, "invalid_token")["detail"]
    bob.token = await ahead(1)
    assert (await bob.ask("POST", "/v1/me/sign-out")).status_code == 204
    refused(await bob.ask("GET", "/v1/me"), 401, "invalid_token")


async def test_in_the_second_of_a_sign_out_only_our_own_tokens_are_valid(
    organization: Organization,
) -> None:
    """Issuers write whole seconds, so tokens of the same second are refused."""
    deployment, name = organization.deployment, f"eve-{organization.id}"
    second = int(await clock(deployment)) + 1
    await until(deployment, second + 0.2)
    token = login_token(name, None, second)
    eve = Person(deployment, (await me(deployment, token)).json()["id"], "", token)
    before = await deployment.token(eve.id)
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    after = await deployment.token(eve.id)

    refused(await me(deployment, token), 401, "invalid_token")
    refused(await me(deployment, before), 401, "invalid_token")
    assert (await me(deployment, after)).status_code == 200
    await until(deployment, second + 1)
    assert (await me(deployment, login_token(name, None, second + 1))).status_code == 200


async def test_a_removal_ends_the_tokens_of_a_login_too(organization: Organization) -> None:
    deployment = organization.deployment
    eve = (await organization.add_members({"eve": ["support"]}))["eve"]
    token = login_token(f"eve-{organization.id}", eve.email, await clock(deployment) + 1)
    assert (await me(deployment, token)).json()["id"] == eve.id
    assert (await organization.remove(eve)).status_code == 204
    refused(await me(deployment, token), 401, "invalid_token")


async def test_a_session_of_a_suspended_member_is_useless_there(acme: Organization) -> None:
    """The session continues elsewhere: the user may be a member of other tenants."""
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    assert (await acme.suspend(bob)).status_code == 204
    refused(await bob.ask("GET", acme.path), 404, "unknown_organization")
    assert (await bob.ask("GET", "/v1/me")).status_code == 200


async def test_a_service_accounts_tokens_end_with_it_and_with_its_organization(
    acme: Organization, globex: Organization
) -> None:
    job, other = (
        await acme.add_service_account("support"),
        await globex.add_service_account("support"),
    )
    ended = await acme.administrator.ask("DELETE", f"{acme.path}/service-accounts/{job.id}")
    assert ended.status_code == 204
    assert (await globex.administrator.ask("DELETE", globex.path)).status_code == 204
    for token in (job.token, other.token):
        refused(await me(acme.deployment, token), 401, "invalid_api_token")


@pytest.mark.parametrize(
    ("issuer", "audience"), [("https://other.example", API), (ISSUER, "https://other.example")]
)
async def test_changed_settings_end_tokens_valid_under_the_old_ones(
    organization: Organization, issuer: str, audience: str
) -> None:
    token = login_token(f"eve-{organization.id}", None, int(await clock(organization.deployment)))
    assert (await me(organization.deployment, token)).status_code == 200
    settings = _with_login(organization.deployment.settings, issuer, audience)
    async for changed in hosted(settings, organization.deployment.owner_url):
        _know_key(changed)
        refused(await me(changed, token), 401, "invalid_token")


@pytest.fixture(scope="module")
async def elsewhere(deployment: Deployment) -> AsyncIterator[Deployment]:
    """Another process of the same deployment."""
    async for opened in hosted(deployment.settings, deployment.owner_url):
        _know_key(opened)
        yield opened


@pytest.mark.parametrize("ahead", [1.5, 4.0])
async def test_a_token_dated_ahead_does_not_outlive_a_sign_out_in_another_process(
    organization: Organization, elsewhere: Deployment, ahead: float
) -> None:
    """Each process also knows the early tokens that another one received."""
    deployment, name = organization.deployment, f"eve-{organization.id}"
    now = await clock(deployment)
    (await me(deployment, login_token(name, None, int(now)))).raise_for_status()
    early = login_token(name, None, now + ahead)
    shown = asyncio.create_task(me(elsewhere, early))
    await until(deployment, now + 0.7)
    eve = Person(deployment, None, "", login_token(name, None, now + 0.6))  # type: ignore[arg-type]
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    refused(await shown, 401, "invalid_token")
    await until(deployment, now + ahead + 0.1)
    for process in (deployment, elsewhere):
        refused(await me(process, early), 401, "invalid_token")


async def test_our_own_token_dated_ahead_does_not_outlive_a_sign_out_in_another_process(
    acme: Organization, fintoc_elsewhere: Deployment
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    service, now = acme.deployment.service, await clock(acme.deployment)
    issued = datetime.fromtimestamp(now + 12, UTC)
    ahead = issue_access_token(service.keys, Audience.USER, bob.id, issued, timedelta(hours=1))
    assert "clock" in refused(await me(fintoc_elsewhere, ahead), 401, "invalid_token")["detail"]
    assert (await bob.ask("POST", "/v1/me/sign-out")).status_code == 204
    await until(acme.deployment, now + 12.1)
    for process in (acme.deployment, fintoc_elsewhere):
        refused(await me(process, ahead), 401, "invalid_token")


async def test_an_acceptance_with_a_token_dated_ahead_ends_with_a_sign_out_and_a_removal(
    organization: Organization, elsewhere: Deployment
) -> None:
    deployment, name = organization.deployment, f"zoe-{organization.id}"
    (await organization.invite("zoe", ["support"])).raise_for_status()
    address = organization.address("zoe")
    secret, now = deployment.invitation_token(address), await clock(deployment)
    early = login_token(name, address, now + 1.2)
    zoe = Person(elsewhere, None, address, early)  # type: ignore[arg-type]
    accepted = await zoe.ask("POST", "/v1/invitations/accept", json={"token": secret})
    assert accepted.status_code == 200, accepted.text
    zoe.id = accepted.json()["user"]
    assert (await organization.remove(zoe)).status_code == 204
    await until(deployment, now + 1.5)
    for process in (deployment, elsewhere):
        for token in (early, accepted.json()["access_token"]):
            refused(await me(process, token), 401, "invalid_token")


async def test_early_tokens_are_forgotten_when_they_end(organization: Organization) -> None:
    service, name = organization.deployment.service, f"eve-{organization.id}"
    now = await service.now()
    async with service.reads() as session:
        await note_early(session, b"ended", now + timedelta(hours=1), now, now)
        noted = select(EarlyToken.id).where(EarlyToken.id == b"ended")
        assert await session.scalar(noted) is not None
        await me(organization.deployment, login_token(name, None, now.timestamp() + 1))
        assert await session.scalar(noted) is None


async def test_a_token_of_the_present_writes_nothing(organization: Organization) -> None:
    token = login_token(f"eve-{organization.id}", None, int(await clock(organization.deployment)))
    assert (await me(organization.deployment, token)).status_code == 200
    async with organization.deployment.service.reads() as session:
        before = await session.scalar(select(func.count()).select_from(EarlyToken))
        assert (await me(organization.deployment, token)).status_code == 200
        assert await session.scalar(select(func.count()).select_from(EarlyToken)) == before
