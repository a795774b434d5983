"""Turn errors into problem details (RFC 9457), and record what callers were refused."""

from http import HTTPStatus
from typing import Any

import structlog
from litestar.connection import Request
from litestar.exceptions import HTTPException
from litestar.plugins.problem_details import (
    ProblemDetailsConfig,
    ProblemDetailsException,
    ProblemDetailsPlugin,
)
from litestar.types import Scope
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.api.identity.callers import Operator, attribution
from teamaccess.changes.events.users import Refused
from teamaccess.changes.ledger import may_have_changed
from teamaccess.common import errors
from teamaccess.common.postgres.connect import sqlstate
from teamaccess.common.postgres.outages import is_contention, is_outage, lacks_tables
from teamaccess.common.sentences.excerpts import cut_to_limits, excerpt
from teamaccess.ledger import UnknownOrganization
from teamaccess.service import Service
from teamaccess.storage import Event, is_organization_id

log = structlog.get_logger()

STATUS: dict[type, int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}

CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


def refusal(error: errors.TeamaccessError) -> ProblemDetailsException:
    """Return the answer to one of our own errors. Its facts become members of the problem."""
    status = next(STATUS[family] for family in type(error).__mro__ if family in STATUS)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return ProblemDetailsException(
        status_code=status,
        title=HTTPStatus(status).phrase,
        detail=error.detail,
        headers=headers or None,
        extra={**{k: v for k, v in error.facts.items() if k not in RESERVED}, "code": error.code},
    )


RESERVED = {"status", "title", "detail", "type", "instance", "code"}


def http_error(error: HTTPException) -> ProblemDetailsException:
    """Return the answer to a request that Litestar refused."""
    extra: dict[str, Any] = {"code": CODES.get(error.status_code, "refused")}
    if error.extra:  # it may quote the whole request
        extra["errors"] = cut_to_limits(error.extra)
    return ProblemDetailsException(
        status_code=error.status_code,
        title=HTTPStatus(error.status_code).phrase,
        detail=excerpt(error.detail),
        headers=error.headers,
        extra=extra,
    )


def database_error(error: SQLAlchemyError | ConnectionError) -> ProblemDetailsException:
    """Return the answer when PostgreSQL cannot work now. Only the log gets the cause."""
    if lacks_tables(error):
        return not_migrated(error)
    if not is_outage(error):
        return unexpected(error)
    if is_contention(error):
        log.warning("database_busy", sqlstate=sqlstate(error))
        return _unavailable("database_busy", "Another change holds what this request needs.")
    # SQLAlchemy wraps its adapter's error, which wraps the driver's; the innermost is the most precise
    adapted = getattr(error, "orig", None)
    cause = getattr(adapted, "orig", None) or adapted or error
    log.error("database_error", error=type(cause).__name__, sqlstate=sqlstate(error))
    return _unavailable("database_unavailable", "The database does not answer.")


def not_migrated(error: Exception) -> ProblemDetailsException:
    """Return the answer while the database has the tables of another version, as during a release."""
    log.error("tables_of_another_version", cause=str(getattr(error, "orig", error)))
    cause = "The database has the tables of another version."
    return _unavailable("not_migrated", cause, retry_after=30)


def _unavailable(code: str, cause: str, *, retry_after: int = 2) -> ProblemDetailsException:
    """Return a 503 with the cause and the outcome of the request. `retry_after` is in seconds."""
    return ProblemDetailsException(
        status_code=503,
        title="Service Unavailable",
        detail=f"{cause} {_outcome()}",
        headers={"Retry-After": str(retry_after)},
        extra={"code": code},
    )


def _outcome() -> str:
    """Return whether the request made a change, as far as it is known."""
    if may_have_changed():
        return "The change was made, or may have been made. Look before you repeat it."
    return "Nothing was changed; try again shortly."


def unexpected(error: Exception) -> ProblemDetailsException:
    """Return the answer to our own mistake. Only the log gets the cause."""
    log.error("unexpected_error", exc_info=error)
    return ProblemDetailsException(
        status_code=500,
        title="Internal Server Error",
        detail=f"Something went wrong here. {_outcome()}",
        extra={"code": "internal_error"},
    )


plugin = ProblemDetailsPlugin(
    ProblemDetailsConfig(
        exception_to_problem_detail_map={
            errors.TeamaccessError: refusal,
            HTTPException: http_error,
            ConnectionError: database_error,
            SQLAlchemyError: database_error,
            Exception: unexpected,
        }
    )
)


async def record_refusal(error: Exception, scope: Scope) -> None:
    """Record the refusal of an authenticated caller, so that auditors see who tried what.

    The event goes into the organization's chain if the organization certainly exists. Otherwise it goes
    into the platform's chain. An operator can name an organization that does not exist.
    """
    if not isinstance(error, errors.Forbidden | UnknownOrganization) or scope.get("user") is None:
        return
    request: Request[Any, Any, Any] = Request(scope)
    if request.scope["state"].get("refusal_recorded"):
        return
    organization = str(error.facts.get("organization", request.path_params.get("organization", "")))
    if organization and not is_organization_id(organization):
        return  # free text of the caller, which no chain may keep
    is_known_chain = isinstance(error, errors.Forbidden) and not isinstance(request.user, Operator)
    service: Service = scope["litestar_app"].state.service
    await service.refusals.record(
        attribution(request),
        Refused(
            code=error.code,
            facts=error.facts,
            method=request.method,
            route=str(request.scope.get("path_template", "")),
        ),
        organization if organization and is_known_chain else Event.PLATFORM,
    )
