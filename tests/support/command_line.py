"""The command line, on a running stack."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner, Result

from teamaccess.cli.main import app
from tests.support.deployment import Deployment

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(fintoc: Deployment, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `teamaccess ...` with fintoc's settings in the environment."""
    return runs_on(fintoc, monkeypatch)


def runs_on(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs `teamaccess ...` with a deployment's settings in the environment."""
    settings = deployment.settings
    for name, value in {
        "HOME": str(settings.home),
        "CATALOG": settings.catalog,
        "DATABASE_URL": settings.database_url,
        "OWNER_DATABASE_URL": deployment.owner_url,
        "SPICEDB_ENDPOINT": settings.spicedb_endpoint,
        "SPICEDB_PRESHARED_KEY": settings.spicedb_preshared_key.get_secret_value(),
        "SANDBOX_ENDPOINT": settings.sandbox_endpoint or "",
        "SECRET_KEY": settings.secret_key.get_secret_value(),
    }.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)

    async def command(*words: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(words)))

    return command
