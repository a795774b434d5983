"""Distinguish outages of PostgreSQL from statements that it refused, by the class of their SQLSTATE."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from teamaccess.common.postgres.connect import sqlstate

REFUSED_STATEMENTS = frozenset(
    {"0A", "0L", "0P", "0Z", "20", "21", "22", "23", "24", "26", "27", "2B", "2D", "2F", "34"}
    | {"38", "39", "3B", "3F", "42", "44", "54", "P0"}
)
"""The classes (https://www.postgresql.org/docs/current/errcodes-appendix.html) that say something about
the statement: PostgreSQL works, and the same statement fails again. Every other class, a future one
included, says something about the server, the connection or other transactions. Trying again can help."""

CONTENTION = ("55P03", "40P01", "40001")
"""A lock timeout, a deadlock and a serialization failure. PostgreSQL works, but another transaction holds
what this one needs."""

OTHER_TABLES = ("42P01", "42703", "42883")
"""A table, a column or a function that does not exist: the tables are those of another version."""

SESSION_IS_USELESS = ("25006", "08", "57P", "58", "XX")
"""States after which a connection is not used again. 25006 is a session that only reads: after a failover
it stays connected to a server that accepts no change."""


def is_outage(error: BaseException) -> bool:
    """Return whether the error says that PostgreSQL cannot work now."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        state = sqlstate(error)
        return state is None or state[:2] not in REFUSED_STATEMENTS
    return isinstance(error, SQLAlchemyError | ConnectionError)


def is_contention(error: BaseException) -> bool:
    """Return whether the statement failed because another transaction holds what it needs."""
    return sqlstate(error) in CONTENTION


def lacks_tables(error: BaseException) -> bool:
    """Return whether the database does not have the tables of this version."""
    return sqlstate(error) in OTHER_TABLES


def ends_the_session(error: BaseException) -> bool:
    """Return whether a connection with this error of the driver must not be used again."""
    state: str | None = getattr(error, "sqlstate", None)
    return state is not None and state.startswith(SESSION_IS_USELESS)
