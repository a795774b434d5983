"""A service that asks only SpiceDB follows what administrators change."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc import StatusCode

from examples.payments_service.payments_pb2 import Refund
from tests.examples.payments import CHECKOUT, Payments, newest, payments_service
from tests.examples.relay import relay
from tests.support.deployment import Deployment
from tests.support.organization import Organization

SOON_SECONDS = 3.0
"""More than enough for SpiceDB's half-second interval, even on a busy machine."""


@pytest.fixture(scope="session")
async def payments(fintoc: Deployment) -> AsyncIterator[Payments]:
    """The service, connected to this run's SpiceDB."""
    key = fintoc.settings.spicedb_preshared_key.get_secret_value()
    with payments_service(fintoc.settings.spicedb_endpoint, key) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Payments(channel)


async def test_product_is_refused_while_support_refunds_and_cancels(
    payments: Payments, acme: Organization
) -> None:
    pia = await acme.member("pia", roles=["product"])
    sam = await acme.member("sam", roles=["support"])
    now = await newest(acme)

    assert await payments.refund(acme.id, by=pia, at=now) is StatusCode.PERMISSION_DENIED
    refund = await payments.refund(acme.id, by=sam, at=now)
    assert isinstance(refund, Refund)
    denied = await payments.cancel(acme.id, refund.id, by=pia, at=now)
    assert denied is StatusCode.PERMISSION_DENIED
    cancelled = await payments.cancel(acme.id, refund.id, by=sam, at=now)
    assert isinstance(cancelled, Refund)
    assert cancelled.status == Refund.STATUS_CANCELED


async def test_the_call_after_a_role_change_follows_it(
    payments: Payments, acme: Organization
) -> None:
    pia = await acme.member("pia", roles=["product"])
    assert await payments.refund(acme.id, by=pia) is StatusCode.PERMISSION_DENIED

    promoted = await acme.change_roles(pia, "support")
    assert isinstance(
        await payments.refund(acme.id, by=pia, at=promoted.headers["Zed-Token"]), Refund
    )

    demoted = await acme.change_roles(pia, "product")
    refused = await payments.refund(acme.id, by=pia, at=demoted.headers["Zed-Token"])
    assert refused is StatusCode.PERMISSION_DENIED


async def test_a_role_change_shows_soon_without_a_zed_token(
    payments: Payments, acme: Organization
) -> None:
    pia = await acme.member("pia", roles=["product"])
    assert await payments.refund(acme.id, by=pia) is StatusCode.PERMISSION_DENIED

    await acme.change_roles(pia, "support")

    deadline = time.monotonic() + SOON_SECONDS
    while await payments.refund(acme.id, by=pia) is StatusCode.PERMISSION_DENIED:
        assert time.monotonic() < deadline


async def test_a_suspended_member_is_refused_at_once(
    payments: Payments, acme: Organization
) -> None:
    sam = await acme.member("sam", roles=["support"])
    suspended = await acme.suspend(sam)
    refused = await payments.refund(acme.id, by=sam, at=suspended.headers["Zed-Token"])
    assert refused is StatusCode.PERMISSION_DENIED


async def test_support_of_one_organization_can_do_nothing_in_another(
    payments: Payments, acme: Organization, globex: Organization
) -> None:
    sam = await acme.member("sam", roles=["support"])
    gus = await globex.member("gus", roles=["support"])
    now = await newest(globex)
    refund = await payments.refund(acme.id, by=sam, at=now)
    assert isinstance(refund, Refund)

    denied = await payments.refund(acme.id, by=gus, at=now)
    assert denied is StatusCode.PERMISSION_DENIED
    denied = await payments.cancel(acme.id, refund.id, by=gus, at=now)
    assert denied is StatusCode.PERMISSION_DENIED
    unknown = await payments.cancel(globex.id, refund.id, by=gus, at=now)
    assert unknown is StatusCode.NOT_FOUND


async def test_anonymous_and_malformed_requests_differ_from_a_refusal(
    payments: Payments, acme: Organization
) -> None:
    sam = await acme.member("sam", roles=["support"])
    assert await payments.refund(acme.id, by=None) is StatusCode.UNAUTHENTICATED
    assert await payments.refund("no such id", by=sam) is StatusCode.INVALID_ARGUMENT
    assert await payments.refund(acme.id, by=sam, at="nonsense") is StatusCode.INVALID_ARGUMENT


async def test_without_spicedb_everything_is_refused_until_it_is_back(
    fintoc: Deployment, acme: Organization
) -> None:
    sam = await acme.member("sam", roles=["support"])
    key = fintoc.settings.spicedb_preshared_key.get_secret_value()
    async with relay(fintoc.settings.spicedb_endpoint) as engine:
        with payments_service(engine.endpoint, key) as address:
            async with grpc.aio.insecure_channel(address) as channel:
                payments = Payments(channel)
                now = await newest(acme)
                assert isinstance(await payments.refund(acme.id, by=sam, at=now), Refund)

                await engine.cut()
                assert await payments.refund(acme.id, by=sam) is StatusCode.UNAVAILABLE

                await engine.restore()
                deadline = time.monotonic() + SOON_SECONDS
                while await payments.refund(acme.id, by=sam) is StatusCode.UNAVAILABLE:
                    assert time.monotonic() < deadline
                assert isinstance(await payments.refund(acme.id, by=sam, at=now), Refund)


async def test_a_spicedb_that_does_not_answer_means_no(
    fintoc: Deployment, acme: Organization
) -> None:
    sam = await acme.member("sam", roles=["support"])
    key = fintoc.settings.spicedb_preshared_key.get_secret_value()
    async with relay(fintoc.settings.spicedb_endpoint) as engine:
        engine.silent = True
        with payments_service(engine.endpoint, key) as address:
            async with grpc.aio.insecure_channel(address) as channel:
                now = await newest(acme)
                answer = await Payments(channel).refund(acme.id, by=sam, at=now)
                assert answer is StatusCode.UNAVAILABLE


async def test_a_wrong_key_means_no(fintoc: Deployment, acme: Organization) -> None:
    sam = await acme.member("sam", roles=["support"])
    now = await newest(acme)
    with payments_service(fintoc.settings.spicedb_endpoint, "another key") as address:
        async with grpc.aio.insecure_channel(address) as channel:
            answer = await Payments(channel).refund(acme.id, by=sam, at=now)
            assert answer is StatusCode.UNAVAILABLE


def test_the_service_imports_nothing_of_teamaccess() -> None:
    reported = "import sys, examples.payments_service.__main__; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", reported], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "authzed.api.v1" in modules
    assert not [name for name in modules if name.partition(".")[0] == "teamaccess"]
