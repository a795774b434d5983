"""The payments service as a process, and a signed-in caller."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from examples.payments_service.payments_pb2 import (
    CancelRefundRequest,
    Refund,
    RefundPaymentRequest,
)
from examples.payments_service.payments_pb2_grpc import PaymentsStub
from teamaccess.delivery.applications import newest_confirmed as newest_change
from tests.support.organization import Organization
from tests.support.people import Person

CHECKOUT = Path(__file__).parents[2]


@contextmanager
def payments_service(spicedb_endpoint: str, preshared_key: str) -> Iterator[str]:
    """Run the service and yield its address. It must end cleanly."""
    where = {"SPICEDB_ENDPOINT": spicedb_endpoint, "SPICEDB_PRESHARED_KEY": preshared_key}
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.payments_service"],
        env={**os.environ, **where, "PORT": "0"},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("payments on ").strip()
        finally:
            process.terminate()
    assert process.returncode == 0


@dataclass
class Payments:
    """A client of the service."""

    channel: grpc.aio.Channel

    async def refund(
        self, organization: str, by: Person | None, at: str | None = None
    ) -> Refund | grpc.StatusCode:
        """Refund a payment; returns the refund, or why there is none."""
        request = RefundPaymentRequest(organization=organization, payment="pay_1", amount=990)
        try:
            return await PaymentsStub(self.channel).RefundPayment(
                request, metadata=_metadata(by, at)
            )
        except grpc.aio.AioRpcError as refused:
            return refused.code()

    async def cancel(
        self, organization: str, refund: str, by: Person | None, at: str | None = None
    ) -> Refund | grpc.StatusCode:
        """Cancel a refund; returns it as it is then, or why that could not be."""
        request = CancelRefundRequest(organization=organization, refund=refund)
        try:
            return await PaymentsStub(self.channel).CancelRefund(
                request, metadata=_metadata(by, at)
            )
        except grpc.aio.AioRpcError as refused:
            return refused.code()


async def newest(organization: Organization) -> str:
    """Return the ZedToken of the organization's last change, as its answer carried it."""
    async with organization.deployment.service.sessions() as session:
        change = (await session.execute(newest_change(organization.id))).one()
    assert change.zed_token is not None
    return str(change.zed_token)


def _metadata(by: Person | None, at: str | None = None) -> tuple[tuple[str, str], ...]:
    caller = (("user-id", by.id),) if by else ()
    return (*caller, ("zed-token", at)) if at else caller
