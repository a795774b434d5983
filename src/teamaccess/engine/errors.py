"""What SpiceDB's failures mean to us. No answer is never a yes."""

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from teamaccess.common.errors import Unavailable

REFUSALS = frozenset(
    {StatusCode.FAILED_PRECONDITION, StatusCode.NOT_FOUND, StatusCode.OUT_OF_RANGE}
)
"""Codes that judge a request, if SpiceDB itself gave them: then its ErrorInfo says why."""

UNKNOWN_PERMISSION = "ERROR_REASON_UNKNOWN_RELATION_OR_PERMISSION"
"""What SpiceDB says to a question for which its schema has no name."""

WITHOUT_SCHEMA = "ERROR_REASON_UNKNOWN_DEFINITION"
"""What a SpiceDB says that is new and knows no types at all yet; it will."""


class EngineUnavailable(Unavailable):
    """SpiceDB does not answer, and an unanswered check means no."""

    message = (
        "The permission engine does not answer ({cause}), so nothing can be allowed. Try again "
        "shortly."
    )


class SchemaMismatch(EngineUnavailable):
    """SpiceDB's schema lacks a name that this process's catalog uses: one of the two is older."""

    message = (
        "The permission engine enforces another schema than this process's catalog: it does not"
        " have {missing}. Nothing was changed. Run `teamaccess schema apply` with the newest "
        "catalog, or replace this process with one that uses it."
    )
    retry_after = 30


class EngineRefused(Exception):
    """SpiceDB understood the request and will never accept it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


class AlreadyThere(Exception):
    """A CREATE met its relationship: the write was applied before, whole."""


def translate(error: AioRpcError) -> Exception:
    """Return our own exception for a failed call, told apart by SpiceDB's ErrorInfo.

    What does not plainly judge the request is an outage: it may pass by itself or by an operator's
    hand, as a wrong key does, and a change must not be given up for it.
    """
    code, reason = error.code(), _reason(error)
    if code is StatusCode.ALREADY_EXISTS:
        return AlreadyThere(error.details())
    if reason == WITHOUT_SCHEMA:
        return EngineUnavailable(cause=error.details())
    if code is StatusCode.INVALID_ARGUMENT or (code in REFUSALS and reason is not None):
        return EngineRefused(reason or code.name, error.details() or "")
    return EngineUnavailable(cause=f"{code.name}: {error.details()}")


def unanswered(permission: str, status: status_pb2.Status) -> EngineUnavailable:
    """Return what it means that SpiceDB answered one question of several with an error."""
    if _stated_reason(status) == UNKNOWN_PERMISSION:
        return SchemaMismatch(missing=permission)
    return EngineUnavailable(cause=f"{permission}: {status.message}")


def _reason(error: AioRpcError) -> str | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return _stated_reason(status_pb2.Status.FromString(value))
    return None


def _stated_reason(status: status_pb2.Status) -> str | None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return None
