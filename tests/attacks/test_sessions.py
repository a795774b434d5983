"""No session outlives what ends it: a sign-out, a removal, a linked login, other settings."""

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
from sqlalchemy import text

from teamaccess.common.settings import Settings
from teamaccess.directory.users.issued import MOST_AHEAD
from teamaccess.directory.users.issuer import Login
from teamaccess.directory.users.logins import first_sign_in
from teamaccess.directory.users.tokens import Audience, InvalidToken, issue_access_token
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, User
from tests.support.machines import machine
from tests.support.steps import enlist, refused, unseen
from tests.support.world import Person, Team, World
from tests.support.world_fixtures import hosted

WHO = Attribution("anonymous", Channel.API, "tests")
ISSUER, API, KEY = "https://login.example", "https://api.example", "key-1"
PRIVATE = generate_private_key(SECP256R1())


@pytest.fixture(scope="module")
async def world(fintoc: World) -> AsyncIterator[World]:
    """A process that accepts a login's tokens; its public key is known already."""
    async for opened in hosted(_with_login(fintoc.settings), fintoc.owner_url):
        _know_key(opened)
        yield opened


@pytest.fixture
async def team(world: World) -> Team:
    return await world.create("acme")


def _with_login(settings: Settings, issuer: str = ISSUER, audience: str = API) -> Settings:
    return settings.model_copy(update={"oidc_issuer": issuer, "oidc_audience": audience})


def _know_key(world: World) -> None:
    """Spare the discovery: the issuer's keys were fetched a moment ago."""
    assert world.service.issuer is not None
    keys = world.service.issuer.keys
    public = json.loads(ECAlgorithm.to_jwk(PRIVATE.public_key()))
    keys._keys = {KEY: {**public, "kid": KEY, "alg": "ES256"}}
    keys._known_at = keys._asked_at = time.monotonic()


def login_token(who: str, email: str | None, issued_at: float, audience: str = API) -> str:
    """What the login gives out."""
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


async def clock(world: World) -> float:
    """PostgreSQL's, by which tokens are judged."""
    return (await world.service.now()).timestamp()


async def me(world: World, token: str) -> httpx.Response:
    return await Person(world, None, "", token).ask("GET", "/v1/me")  # type: ignore[arg-type]


async def until(world: World, moment: float) -> None:
    """Wait for PostgreSQL's clock to be there."""
    async with world.service.reads() as session:
        await session.execute(
            text("SELECT pg_sleep_until(to_timestamp(:moment))"), {"moment": moment}
        )


async def test_linking_a_login_ends_the_sessions_from_before(team: Team) -> None:
    """Mallory has used the account; now the person to whom the address belongs signs in."""
    world = team.world
    mallory = (await enlist(team, {"eve": ["support"]}))["eve"]
    issued = int(await clock(world))
    await until(world, issued + 1.2)
    mallory.token = await world.token(mallory.id)  # later than the login's token that will link
    earlier = "UPDATE users SET tokens_valid_from = created_at - interval '1 minute' WHERE id = $1"
    await unseen(world, earlier, mallory.id)
    assert (await mallory.ask("GET", "/v1/me")).status_code == 200

    login = login_token(f"eve-{team.id}", mallory.email, issued)
    linked = await me(world, login)

    assert linked.json()["id"] == mallory.id
    refused(await mallory.ask("GET", "/v1/me"), 401, "invalid_token")
    refused(await mallory.ask("GET", f"{team.path}/members"), 401, "invalid_token")
    assert (await me(world, login)).status_code == 200
    fresh = await world.token(mallory.id)
    assert (await me(world, fresh)).status_code == 200


async def test_a_session_from_before_the_link_takes_up_no_invitation(
    team: Team, world: World
) -> None:
    other = await world.create("globex")
    mallory = (await enlist(team, {"eve": ["support"]}))["eve"]
    (
        await other.administrator.ask(
            "POST",
            f"{other.path}/invitations",
            json={"email": mallory.email, "roles": ["support"]},
        )
    ).raise_for_status()
    secret = world.secret_for(mallory.email)
    linked = await me(world, login_token(f"eve-{team.id}", mallory.email, int(time.time()) + 1))
    assert linked.status_code == 200
    taken = await mallory.ask("POST", "/v1/invitations/accept", json={"token": secret})
    refused(taken, 401, "invalid_token")


async def test_a_login_whose_token_is_older_than_the_sign_out_links_nothing(team: Team) -> None:
    eve = (await enlist(team, {"eve": ["support"]}))["eve"]
    service = team.world.service
    now = await service.now()
    old = Login(ISSUER, f"eve-{team.id}", now, now + timedelta(hours=1), eve.email, None)
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204

    async with service.ledger.change(WHO) as change:
        with pytest.raises(InvalidToken):
            await first_sign_in(change, old)
    async with service.reads() as session:
        assert (await session.get_one(User, eve.id)).issuer is None


@pytest.mark.parametrize("ahead", [3, 30, 59, 3600])
async def test_a_token_from_a_clock_that_is_ahead_is_refused_and_says_so(
    team: Team, ahead: int
) -> None:
    token = login_token(f"eve-{team.id}", None, await clock(team.world) + ahead)
    problem = refused(await me(team.world, token), 401, "invalid_token")
    assert "clock" in problem["detail"]


async def test_a_token_that_is_a_little_ahead_is_good_once_its_time_has_come(team: Team) -> None:
    issued = await clock(team.world) + 1
    assert (await me(team.world, login_token(f"eve-{team.id}", None, issued))).status_code == 200
    assert await clock(team.world) >= issued


async def test_a_token_that_was_in_use_outlives_no_sign_out(team: Team) -> None:
    world, name = team.world, f"eve-{team.id}"
    token = login_token(name, None, await clock(world) + MOST_AHEAD.total_seconds() - 0.5)
    eve = Person(world, (await me(world, token)).json()["id"], "", token)
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    refused(await me(world, token), 401, "invalid_token")
    await until(world, await clock(world) + MOST_AHEAD.total_seconds())
    refused(await me(world, token), 401, "invalid_token")


async def test_a_sign_out_during_the_wait_counts(team: Team) -> None:
    world, name = team.world, f"eve-{team.id}"
    now = await clock(world)
    (await me(world, login_token(name, None, int(now)))).raise_for_status()
    token = login_token(name, None, now + 1.9)
    waiting = asyncio.create_task(me(world, token))
    await until(world, now + 1)
    eve = Person(world, None, "", login_token(name, None, now + 0.9))  # type: ignore[arg-type]
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    assert not waiting.done()
    refused(await waiting, 401, "invalid_token")
    refused(await me(world, token), 401, "invalid_token")


async def test_a_token_that_was_refused_as_too_early_outlives_no_sign_out(team: Team) -> None:
    world, name = team.world, f"eve-{team.id}"
    now = await clock(world)
    early = login_token(name, None, now + 4)
    refused(await me(world, early), 401, "invalid_token")
    eve = Person(world, None, "", login_token(name, None, now))  # type: ignore[arg-type]
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    await until(world, now + 4.1)
    refused(await me(world, early), 401, "invalid_token")
    assert (await me(world, login_token(name, None, now + 4.05))).status_code == 200


async def test_a_token_of_ours_that_is_ahead_is_judged_alike(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    service = acme.world.service

    async def ahead(seconds: float) -> str:
        issued = datetime.fromtimestamp(await clock(acme.world) + seconds, UTC)
        return issue_access_token(service.keys, Audience.USER, bob.id, issued, timedelta(hours=1))

    bob.token = await ahead(8)
    assert "clock" in refused(await bob.ask("GET", "/v1/me"), 401, "invalid_token")["detail"]
    bob.token = await ahead(1)
    assert (await bob.ask("POST", "/v1/me/sign-out")).status_code == 204
    refused(await bob.ask("GET", "/v1/me"), 401, "invalid_token")


async def test_in_the_second_of_a_sign_out_no_token_of_a_login_is_good_and_ours_are(
    team: Team,
) -> None:
    """Issuers write whole seconds: what was issued before and after looks alike, and is refused."""
    world, name = team.world, f"eve-{team.id}"
    second = int(await clock(world)) + 1
    await until(world, second + 0.2)
    token = login_token(name, None, second)
    eve = Person(world, (await me(world, token)).json()["id"], "", token)
    before = await world.token(eve.id)
    assert (await eve.ask("POST", "/v1/me/sign-out")).status_code == 204
    after = await world.token(eve.id)

    refused(await me(world, token), 401, "invalid_token")
    refused(await me(world, before), 401, "invalid_token")
    assert (await me(world, after)).status_code == 200
    await until(world, second + 1)
    assert (await me(world, login_token(name, None, second + 1))).status_code == 200


async def test_a_removal_ends_the_tokens_of_a_login_too(team: Team) -> None:
    world = team.world
    eve = (await enlist(team, {"eve": ["support"]}))["eve"]
    token = login_token(f"eve-{team.id}", eve.email, await clock(world) + 1)
    assert (await me(world, token)).json()["id"] == eve.id
    assert (await team.act("remove", eve)).status_code == 204
    refused(await me(world, token), 401, "invalid_token")


async def test_a_suspended_member_s_session_is_good_for_nothing_there(acme: Team) -> None:
    """It goes on elsewhere: a user may be a member of other tenants, whom this is no concern of."""
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    assert (await acme.act("suspend", bob)).status_code == 204
    refused(await bob.ask("GET", acme.path), 404, "unknown_organization")
    assert (await bob.ask("GET", "/v1/me")).status_code == 200


async def test_a_machine_ends_with_its_account_and_with_its_organization(
    acme: Team, globex: Team
) -> None:
    job, other = await machine(acme, "support"), await machine(globex, "support")
    ended = await acme.administrator.ask("DELETE", f"{acme.path}/service-accounts/{job.id}")
    assert ended.status_code == 204
    assert (await globex.administrator.ask("DELETE", globex.path)).status_code == 204
    for token in (job.token, other.token):
        refused(await me(acme.world, token), 401, "invalid_api_token")


@pytest.mark.parametrize(
    ("issuer", "audience"), [("https://other.example", API), (ISSUER, "https://other.example")]
)
async def test_other_settings_end_what_was_good_under_the_old_ones(
    team: Team, issuer: str, audience: str
) -> None:
    token = login_token(f"eve-{team.id}", None, int(await clock(team.world)))
    assert (await me(team.world, token)).status_code == 200
    settings = _with_login(team.world.settings, issuer, audience)
    async for changed in hosted(settings, team.world.owner_url):
        _know_key(changed)
        refused(await me(changed, token), 401, "invalid_token")
