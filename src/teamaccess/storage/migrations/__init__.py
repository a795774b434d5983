"""The migrations of the database, one for each version of its tables (Alembic)."""

from pathlib import Path

from alembic import command, op
from alembic.config import Config

VERSIONS = Path(__file__).parent / "versions"


def upgrade(owner_url: str, revision: str = "head") -> None:
    """Migrate the database to the revision. `owner_url` signs in as the owner of the tables."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = owner_url
    command.upgrade(config, revision)


def run_script(script: str) -> None:
    """Run a SQL script of the folder `versions`. asyncpg runs several statements only unprepared."""
    statements = (VERSIONS / script).read_text()
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None
    connection.run_async(lambda asyncpg: asyncpg.execute(statements))
