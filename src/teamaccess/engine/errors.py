"""Translate SpiceDB's failures. A missing answer is never a yes."""

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from teamaccess.common.errors import Unavailable

REFUSALS = frozenset(
    {StatusCode.FAILED_PRECONDITION, StatusCode.NOT_FOUND, StatusCode.OUT_OF_RANGE}
)
"""Codes of a refused request, if SpiceDB itself sent them. Then its ErrorInfo has the reason."""

UNKNOWN_PERMISSION = "ERROR_REASON_UNKNOWN_RELATION_OR_PERMISSION"
"""SpiceDB's reason for a question about a permission that its schema does not have."""

PRECONDITION_FAILED = "ERROR_REASON_WRITE_OR_DELETE_PRECONDITION_FAILURE"
"""SpiceDB's reason for a write whose precondition does not hold."""

UNKNOWN_DEFINITION = "ERROR_REASON_UNKNOWN_DEFINITION"
"""SpiceDB's reason if it has no schema yet. That passes, so it counts as an outage."""


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
        " have {missing}, so nothing can be decided. Run `teamaccess schema apply` with the newest "
        "catalog, or replace this process with one that uses it."
    )
    retry_after = 30


class EngineRefused(Exception):
    """SpiceDB understood the request and will never accept it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


class AlreadyThere(Exception):
    """A relationship of a CREATE exists already: the whole write was applied before."""


class NotThere(Exception):
    """A relationship that the write requires does not exist, so nothing was written."""


def translate(error: AioRpcError, proxy: str | None = None) -> Exception:
    """Return our own exception for a failed call. SpiceDB's ErrorInfo distinguishes the failures.

    `proxy` is the proxy of the connection, if any. An outage names it, because it may be the cause.

    Every failure that is not clearly a refusal of the request counts as an outage. An outage may pass by
    itself or be fixed by an operator (a wrong key, for example), so a change must not be given up for it.
    """
    code, reason = error.code(), _reason(error)
    if code is StatusCode.ALREADY_EXISTS:
        return AlreadyThere(error.details())
    if reason == PRECONDITION_FAILED:
        return NotThere(error.details())
    if reason == UNKNOWN_DEFINITION:
        return EngineUnavailable(cause=error.details())
    if code is StatusCode.INVALID_ARGUMENT or (code in REFUSALS and reason is not None):
        return EngineRefused(reason or code.name, error.details() or "")
    through = f", through the proxy {proxy} of the environment" if proxy else ""
    return EngineUnavailable(cause=f"{code.name}: {error.details()}{through}")


def error_of_bulk_item(permission: str, status: status_pb2.Status) -> EngineUnavailable:
    """Return our own exception for the error of one question in a bulk check."""
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
