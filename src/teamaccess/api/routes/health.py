"""Whether the process lives, and whether it can do its work."""

from litestar import Response, get
from litestar.openapi import ResponseSpec
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.api.parameters import TheService
from teamaccess.engine import EngineUnavailable
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
    """Return 200 if PostgreSQL and SpiceDB answer, else 503; counts organizations that stopped."""
    parts = {"database": await _database(service), "engine": await _engine(service)}
    stopped = await _stopped(service) if parts["database"] == "ok" else 0
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
        differences = await service.engine.lacks(service.catalog.schema())
    except EngineUnavailable as error:
        return type(error).__name__
    return "another schema than the catalog's" if differences else "ok"


async def _stopped(service: Service) -> int:
    """One organization's trouble is not everybody's: it is counted, and does not make us unready."""
    refused = LedgerApplication.status == ApplicationStatus.REFUSED
    async with service.reads() as session:
        count = select(func.count(LedgerApplication.organization_id.distinct())).where(refused)
        return await session.scalar(count) or 0


routes = [alive, ready]
