"""Whether the process lives, and whether it can do its work."""

from litestar import Response, get
from litestar.openapi import ResponseSpec
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.api.parameters import TheService
from teamaccess.engine import EngineRefused, EngineUnavailable
from teamaccess.models import ApplicationStatus, LedgerApplication
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
    """Return 200 if PostgreSQL and SpiceDB answer, else 503; names organizations that stopped."""
    parts = {"database": await _database(service), "engine": await _engine(service)}
    stopped = await _stopped(service) if parts["database"] == "ok" else []
    fine = all(state == "ok" for state in parts.values())
    return Response(
        {"status": "ok" if fine else "unavailable", **parts, "stopped_organizations": stopped},
        status_code=HTTP_200_OK if fine else HTTP_503_SERVICE_UNAVAILABLE,
    )


async def _database(service: Service) -> str:
    try:
        async with service.reads() as session:
            await session.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError) as error:
        return type(error).__name__
    return "ok"


async def _engine(service: Service) -> str:
    try:
        schema = await service.engine.read_schema()
    except (EngineUnavailable, EngineRefused) as error:
        return type(error).__name__
    return "ok" if schema else "no schema"


async def _stopped(service: Service) -> list[str]:
    """One organization's trouble is not everybody's: it is told, and does not make us unready."""
    async with service.reads() as session:
        rows = await session.scalars(
            select(LedgerApplication.organization_id)
            .where(LedgerApplication.status == ApplicationStatus.REFUSED)
            .distinct()
            .limit(100)
        )
        return [str(row) for row in rows]


routes = [alive, ready]
