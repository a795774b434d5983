"""Scripts of SQL beside the migrations."""

from pathlib import Path

from alembic import op

VERSIONS = Path(__file__).parent / "versions"


def run(script: str) -> None:
    """Run a script of several statements, which asyncpg takes only when it is not prepared."""
    statements = (VERSIONS / script).read_text()
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None
    connection.run_async(lambda asyncpg: asyncpg.execute(statements))
