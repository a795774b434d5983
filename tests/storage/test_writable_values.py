"""The application's role can write only times that every reader can read."""

from tests.support.database_connections import Connection

BAD = ("-infinity", "infinity", "4713-01-01 BC", "1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z")
WRITABLE = """
SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
  AND atttypid = 'timestamptz'::regtype
  AND has_column_privilege('teamaccess', attrelid, attnum, 'INSERT, UPDATE')
ORDER BY 1, 2
"""
CHECKS = """
SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint
WHERE contype = 'c' AND conrelid = $1::regclass
"""
COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
"""


async def _allowed(connection: Connection, table: str, column: str, value: str) -> bool:
    """Return whether the checks of the table allow a row with this value."""
    values = {column: f"'{value}'"}
    columns = ", ".join(
        f"CAST({values.get(name, 'NULL')} AS {type}) AS {name}"
        for name, type in await connection.fetch(COLUMNS, table)
    )
    checks = [row[0] for row in await connection.fetch(CHECKS, table)] or ["true"]
    every = " AND ".join(f"coalesce({check}, true)" for check in checks)
    allowed: bool = await connection.fetchval(f"SELECT {every} FROM (SELECT {columns}) AS {table}")
    return allowed


async def test_every_time_that_the_role_can_write_is_in_the_calendar(
    owner_connection: Connection,
) -> None:
    unchecked = [
        f"{table}.{column} = {value}"
        for table, column in await owner_connection.fetch(WRITABLE)
        for value in BAD
        if await _allowed(owner_connection, table, column, value)
    ]
    assert unchecked == []
