"""What `/readyz` shows of the parts that a process needs."""

import socket
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.deployment import Deployment
from tests.support.fixtures import hosted
from tests.support.issuer_server import API, RSA, IssuerServer, public
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import another_process, served_by, wait_until


@pytest.fixture
async def deployment(fintoc: Deployment, issuer_server: IssuerServer) -> AsyncIterator[Deployment]:
    """A process whose issuer calls itself by its address with a slash."""
    issuer_server.keys, issuer_server.named = [public(RSA, kid="k")], f"{issuer_server.url}/"
    login = {"oidc_issuer": issuer_server.url, "oidc_audience": API}
    async for opened in hosted(fintoc.settings.model_copy(update=login), fintoc.owner_url):
        yield opened


async def test_a_misspelt_issuer_is_shown_and_does_not_make_the_process_unready(
    deployment: Deployment, issuer_server: IssuerServer
) -> None:
    await _wait_for_the_issuer(deployment)
    answer = await deployment.http.get("/readyz")
    assert answer.status_code == 200
    assert "differ only in the slash at the end" in answer.json()["issuer"]

    token = issuer_server.token(RSA, "RS256", "k")
    me = await deployment.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert "slash at the end" in refused(me, 401, "invalid_token")["detail"]


async def test_an_issuer_that_can_be_used_is_shown_as_such(
    fintoc: Deployment, issuer_server: IssuerServer
) -> None:
    issuer_server.keys = [public(RSA, kid="k")]
    login = {"oidc_issuer": issuer_server.url, "oidc_audience": API}
    async for opened in hosted(fintoc.settings.model_copy(update=login), fintoc.owner_url):
        await _wait_for_the_issuer(opened)
        assert (await opened.http.get("/readyz")).json()["issuer"] == "ok"
    assert "issuer" not in (await fintoc.http.get("/readyz")).json()


async def test_an_issuer_that_does_not_answer_delays_no_probe(fintoc: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        login = {"oidc_issuer": f"http://127.0.0.1:{silent.getsockname()[1]}", "oidc_audience": API}
        async for opened in hosted(fintoc.settings.model_copy(update=login), fintoc.owner_url):
            began = time.monotonic()
            answer = await opened.http.get("/readyz")
            assert time.monotonic() - began < 3  # the issuer has five seconds
            assert (answer.status_code, answer.json()["issuer"]) == (
                200,
                "it has not answered yet",
            )


async def test_a_token_of_an_issuer_is_refused_with_the_cause_where_none_is_configured(
    fintoc: Deployment, issuer_server: IssuerServer
) -> None:
    token = issuer_server.token(RSA, "RS256", "k")
    me = await fintoc.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert "accepts none" in refused(me, 401, "invalid_token")["detail"]


@pytest.mark.parametrize("offset", [0, -30, 45])
async def test_the_offset_of_the_clock_is_shown(
    fintoc: Deployment, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr("teamaccess.api.status.time.time", lambda: real() + offset)
    operator = await fintoc.operator_person()
    shown = (await operator.ask("GET", "/readyz")).json()["clock_offset_seconds"]
    assert abs(shown - offset) < 5


async def test_a_process_that_starts_before_the_tables_are_migrated_says_so(
    acme: Organization,
) -> None:
    """The process of a new version may start first. Its database has no tables of ours at all here."""
    address = acme.deployment.settings.database_url.replace("/teamaccess_fintoc?", "/postgres?")
    async with another_process(acme.deployment, database_url=address) as early:
        ready = await early.http.get("/readyz")
        assert ready.status_code == 503
        assert "run `teamaccess migrate`" in ready.json()["database"]
        asked = await served_by(early, acme).administrator.ask("GET", f"{acme.path}/members")
        problem = refused(asked, 503, "not_migrated")
        assert "Nothing was changed" in problem["detail"]


async def _wait_for_the_issuer(deployment: Deployment) -> None:
    """Wait until a reading has seen the issuer's answer. An operator gets a new reading."""
    operator = await deployment.operator_person()

    async def answered() -> bool:
        answer = (await operator.ask("GET", "/readyz")).json()
        return bool(answer["issuer"] != "it has not answered yet")

    await wait_until(answered)
