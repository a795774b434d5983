"""Refunds. Each call checks one permission first."""

import secrets

import grpc

from examples.payments_service.access import Access
from examples.payments_service.payments_pb2 import (
    CancelRefundRequest,
    Refund,
    RefundPaymentRequest,
)
from examples.payments_service.payments_pb2_grpc import PaymentsServicer


class Payments(PaymentsServicer):
    """The service of payments.proto. As an example, it keeps refunds in memory only."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._refunds: dict[tuple[str, str], Refund] = {}

    def RefundPayment(  # noqa: N802 - the name in payments.proto
        self, request: RefundPaymentRequest, context: grpc.ServicerContext
    ) -> Refund:
        """Refund a payment."""
        self._access.require("refunds_create", request.organization, context)
        refund = Refund(
            id=f"rf_{secrets.token_hex(8)}",
            payment=request.payment,
            amount=request.amount,
            status=Refund.STATUS_PENDING,
        )
        self._refunds[request.organization, refund.id] = refund
        return refund

    def CancelRefund(  # noqa: N802 - the name in payments.proto
        self, request: CancelRefundRequest, context: grpc.ServicerContext
    ) -> Refund:
        """Cancel a refund that has not been paid out."""
        # checked before the lookup, so a stranger does not learn which refunds exist
        self._access.require("refunds_cancel", request.organization, context)
        refund = self._refunds.get((request.organization, request.refund))
        if refund is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no refund {request.refund}")
        refund.status = Refund.STATUS_CANCELED
        return refund
