"""What SpiceDB's failures mean to us. No answer is never a yes."""

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from teamaccess.errors import Unavailable

OUTAGES = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.ABORTED,
        StatusCode.CANCELLED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNKNOWN,
        StatusCode.INTERNAL,
        StatusCode.UNAUTHENTICATED,
    }
)
"""Failures that may pass by themselves or by an operator's hand; the request was not judged."""


class EngineUnavailable(Unavailable):
    """The permission engine does not answer ({cause}), so nothing can be allowed. Try again shortly."""


class EngineRefused(Exception):
    """SpiceDB understood the request and will never accept it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class AlreadyThere(Exception):
    """A CREATE met its relationship: the write was applied before, whole."""


def translate(error: AioRpcError) -> Exception:
    """Return our own exception for a failed call, told apart by SpiceDB's ErrorInfo."""
    if error.code() in OUTAGES:
        return EngineUnavailable(cause=f"{error.code().name}: {error.details()}")
    reason = _reason(error) or error.code().name
    if reason in ("ERROR_REASON_ATTEMPT_TO_RECREATE_RELATIONSHIP", "ALREADY_EXISTS"):
        return AlreadyThere(error.details())
    return EngineRefused(reason, error.details() or "")


def _reason(error: AioRpcError) -> str | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return None
