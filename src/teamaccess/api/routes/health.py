"""Whether the process lives, and whether it can do its work."""

from litestar import Response, get
from litestar.openapi import ResponseSpec
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.api.parameters import TheService
from teamaccess.engine import EngineUnavailable
from teamaccess.ledger import OtherHistory
from teamaccess.ledger.delivery import changed_last
from teamaccess.ledger.standing import standing_of
from teamaccess.ledger.status import ledger_status
from teamaccess.service import Service


@get("/healthz")
async def alive() -> dict[str, str]:
    """Return 200 while the process answers at all."""
    return {"status": "ok"}


@get(
    "/readyz",
    responses={
        503: ResponseSpec(
            dict[str, object], generate_examples=False, description="Something does not answer"
        )
    },
)
async def ready(service: TheService) -> Response[dict[str, object]]:
    """Return 200 if PostgreSQL and SpiceDB answer, else 503.

    One organization's trouble is not everybody's: those that an entry has stopped are told with the
    reason, and do not make us unready.
    """
    database, ledgers = await _ledgers(service)
    parts = {"database": database, "engine": await _engine(service)}
    fine = all(state == "ok" for state in parts.values())
    return Response(
        {"status": "ok" if fine else "unavailable", **parts, **ledgers},
        status_code=HTTP_200_OK if fine else HTTP_503_SERVICE_UNAVAILABLE,
    )


async def _ledgers(service: Service) -> tuple[str, dict[str, object]]:
    try:
        async with service.reads() as session:
            status = await ledger_status(session)
    except (SQLAlchemyError, OSError) as error:
        return type(error).__name__, {}
    return "ok", {
        "pending_changes": status.pending,
        "open_findings": status.open_findings,
        "stopped_organizations": [
            {
                "organization": stopped.organization,
                "position": stopped.position,
                "refusal": stopped.refusal,
            }
            for stopped in status.stopped
        ],
    }


async def _engine(service: Service) -> str:
    """Whether SpiceDB answers, with the catalog's schema and the ledgers' history."""
    try:
        if await service.engine.lacks(service.catalog.schema()):
            return "another schema than the catalog's"
        async with service.reads() as session:
            changed = await session.scalar(changed_last())
            if changed is not None and (found := await standing_of(session, changed)):
                await found.prove(service.engine, or_later=True)
    except OtherHistory:
        return "another history than the ledger's"
    except (EngineUnavailable, SQLAlchemyError, OSError) as error:
        return type(error).__name__
    return "ok"


routes = [alive, ready]
