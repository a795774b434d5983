"""The versions of PostgreSQL and SpiceDB that run, and the oldest ones that are supported."""

import re
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.engine import Engine

OLDEST_POSTGRESQL = "18"
"""The tests run against PostgreSQL 18."""
OLDEST_SPICEDB = "1.57.1"
"""Earlier versions can answer yes through an expired relationship (GHSA-w278-32qg-48q5)."""
SERVER_VERSION = text("SHOW server_version")


@dataclass(frozen=True)
class RunningVersion:
    """The version of a server, and the oldest one that is supported."""

    oldest: str
    running: str | None
    """Without the packager's suffix, such as `18.1`. None if the server does not report it."""

    @property
    def supported(self) -> bool | None:
        """Whether the version is new enough; None if it is not known."""
        if self.running is None:
            return None
        return _numbers(self.running) >= _numbers(self.oldest)


async def postgresql_version(session: AsyncSession) -> RunningVersion:
    """Return the version of PostgreSQL."""
    reported = str(await session.scalar(SERVER_VERSION))
    return RunningVersion(OLDEST_POSTGRESQL, reported.split()[0])


async def spicedb_version(engine: Engine) -> RunningVersion:
    """Return the version of SpiceDB. Raises EngineUnavailable."""
    return RunningVersion(OLDEST_SPICEDB, await engine.version())


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers: (18, 1) for `18.1`, and (19,) for `19beta2`."""
    return tuple(int(number) for number in re.findall(r"(?:^|(?<=\.))\d+", version))
