"""Health checks: whether the process lives, and whether it can do its work."""

from litestar import Response, get
from litestar.openapi import ResponseSpec
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from teamaccess.api.identity.callers import Operator
from teamaccess.api.requests.parameters import AnyRequest
from teamaccess.api.status import Readiness, StatusDependency
from teamaccess.delivery.status import LedgerStatus, StoppedOrganization
from teamaccess.delivery.versions import RunningVersion


@get("/healthz", operation_id="get_liveness")
async def alive() -> dict[str, str]:
    """Return 200 while the process lives."""
    return {"status": "ok"}


@get(
    "/readyz",
    responses={
        503: ResponseSpec(
            dict[str, object],
            generate_examples=False,
            description="PostgreSQL or SpiceDB does not answer",
        )
    },
    operation_id="get_readiness",
)
async def ready(
    request: AnyRequest, process_status: StatusDependency
) -> Response[dict[str, object]]:
    """Return 200 if PostgreSQL and SpiceDB answer, and 503 otherwise.

    A stopped organization does not make the process unready, because the others still work. Nor does a
    server that is too old, which `versions` shows. Only an operator sees which organizations have
    stopped, and why, and which versions run.
    """
    operator = isinstance(request.user, Operator)
    readiness = await (
        process_status.readiness.fresh() if operator else process_status.readiness.get()
    )
    return Response(
        _view(readiness, operator=operator),
        status_code=HTTP_200_OK if readiness.ready else HTTP_503_SERVICE_UNAVAILABLE,
    )


def _view(readiness: Readiness, *, operator: bool) -> dict[str, object]:
    parts: dict[str, object] = {
        "status": "ok" if readiness.ready else "unavailable",
        "database": readiness.database,
        "engine": readiness.engine,
        "versions": {
            server: _version(version, operator=operator)
            for server, version in readiness.versions.items()
        },
    }
    if readiness.issuer is not None:
        parts["issuer"] = readiness.issuer
    if readiness.clock_offset_seconds is not None:
        parts["clock_offset_seconds"] = round(readiness.clock_offset_seconds, 3)
    if readiness.ledgers is None:
        return parts
    return {**parts, **_ledgers(readiness.ledgers, operator=operator)}


def _version(version: RunningVersion, *, operator: bool) -> dict[str, object]:
    """Return the view of a server's version.

    SECURITY: only operators see which version runs, because attackers would look for its known faults.
    """
    running = version.running if operator else None
    return {"oldest": version.oldest, "running": running, "supported": version.supported}


def _ledgers(status: LedgerStatus, *, operator: bool) -> dict[str, object]:
    return {
        "pending_changes": status.pending,
        "open_findings": status.open_findings,
        "unwatched_seconds": _seconds(status.unwatched_seconds) if operator else None,
        "stopped_organizations": [_stopped(each, operator=operator) for each in status.stopped],
    }


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _stopped(stopped: StoppedOrganization, *, operator: bool) -> dict[str, object]:
    """Return the view of a stopped organization.

    SECURITY: anonymous callers may ask, so only operators see more than the number of stopped
    organizations. The id, the position and the refusal (which quotes relationships) are private to the
    tenant.
    """
    if not operator:
        return {"organization": None, "position": None, "refusal": None}
    return {
        "organization": stopped.organization,
        "position": stopped.position,
        "refusal": stopped.refusal,
    }


routes = [alive, ready]
