"""Check the database behind SpiceDB for what SpiceDB's own migrations do not set up.

teamaccess speaks to SpiceDB over gRPC, which shows nothing of the database behind it. So an operator lets
this check connect to the database, with the address that SpiceDB itself has.
"""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

from sqlalchemy import Row, text

from teamaccess.common.errors import Invalid
from teamaccess.common.postgres.address import InvalidAddress, sqlalchemy_url
from teamaccess.common.postgres.parameters import SUPPORTED
from teamaccess.ledger import create_pool

VARIABLE = "SPICEDB_DATASTORE_CONN_URI"
"""SpiceDB's own setting with the address of its database."""
STATEMENT_CACHE = {
    "default_query_exec_mode": "cache_statement",
    "plan_cache_mode": "force_custom_plan",
}
"""Parameters of that address: statements are prepared once and planned with their values each time
(docs/decisions/0027)."""
QUOTED_PARAMETERS = {*SUPPORTED, *STATEMENT_CACHE}
INDEX = (
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS relation_tuple_usersets_idx ON relation_tuple "
    "(namespace, object_id, relation) WHERE userset_relation <> '...'"
)
STATE = text("""
SELECT to_regclass('relation_tuple') IS NOT NULL AS has_tables,
       (SELECT bool_or(indisvalid) FROM pg_index WHERE indrelid = to_regclass('relation_tuple')
        AND pg_get_expr(indpred, indrelid) LIKE '%userset_relation%<>%...%') AS index_is_valid,
       'B' < 'a' AS sorts_by_code_point,
       current_setting('track_commit_timestamp') = 'on' AS tracks_commits
""")


class DatastoreUnknown(Invalid):
    """The address of SpiceDB's database is not in the environment, or it is not one of PostgreSQL."""

    message = (
        f"Set {VARIABLE} to the address of SpiceDB's database in PostgreSQL, as SpiceDB has it: it "
        "{mistake}."
    )


async def datastore_problems(address: str | None) -> list[str]:
    """Return what is missing in SpiceDB's database and its address, each with the remedy.

    Raises DatastoreUnknown.
    """
    if not address:
        raise DatastoreUnknown(mistake="is not set")
    parts = urlsplit(address)
    parameters = _parameters(parts.query)
    # SpiceDB's driver has more parameters than libpq, and takes PostgreSQL's settings as parameters
    known = {name: value for name, value in parameters.items() if name in SUPPORTED}
    try:
        url = sqlalchemy_url(parts._replace(query=urlencode(known)).geturl())
    except InvalidAddress as mistake:
        raise DatastoreUnknown(mistake=mistake) from None
    engine = create_pool(url, connections=1, transactions=False)
    try:
        async with engine.connect() as connection:
            state = (await connection.execute(STATE)).one()
    finally:
        await engine.dispose()
    return [*_of_database(state), *_of_address(parameters)]


def _parameters(query: str) -> dict[str, str]:
    """Return the parameters of the address; raises DatastoreUnknown for one that is there twice."""
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:  # SpiceDB's driver takes the first one, and libpq the last
            # SECURITY: another name may be part of a password
            which = f"the parameter {name}" if name in QUOTED_PARAMETERS else "a parameter"
            raise DatastoreUnknown(mistake=f"has {which} twice. Keep one of them")
    return {name: value for name, value in pairs if value}


def _of_database(state: Row[*tuple[bool | None, ...]]) -> Iterator[str]:
    if not state.has_tables:
        yield "It has no tables of SpiceDB. Run `spicedb datastore migrate head`."
    elif state.index_is_valid is None:
        yield f"It lacks the index for teams that hold a role, so checks are slow. Run: {INDEX};"
    elif not state.index_is_valid:
        yield (
            "The index for teams that hold a role is not valid, because creating it failed. Run: "
            f"DROP INDEX CONCURRENTLY relation_tuple_usersets_idx; Then run: {INDEX};"
        )
    if not state.sorts_by_code_point:
        yield (
            "Its collation is not C, so comparisons with SpiceDB fail. Create the database again "
            "with LOCALE 'C' TEMPLATE template0, and run `teamaccess reconcile --rebuild`."
        )
    if not state.tracks_commits:
        yield (
            "PostgreSQL does not track commit timestamps, so SpiceDB's Watch does not work. Set "
            "track_commit_timestamp = on, and restart PostgreSQL."
        )


def _of_address(parameters: dict[str, str]) -> Iterator[str]:
    missing = [
        f"{name}={value}"
        for name, value in STATEMENT_CACHE.items()
        if parameters.get(name) != value
    ]
    if missing:
        yield f"The address lacks {' and '.join(missing)}, so checks are slow. Add it to {VARIABLE}."
