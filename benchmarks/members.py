"""A long list of members, page by page, against its two bare queries."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
import msgspec
from sqlalchemy import Engine, event

from benchmarks.support import population
from benchmarks.support.bare_stack import BareStack, bare_stack
from benchmarks.support.environment import Environment
from benchmarks.support.http_connection import Connection
from benchmarks.support.load import Figures, interleave, ratio
from benchmarks.support.population import SignedInUser
from benchmarks.support.report import Row, Table
from teamaccess.access.authorize import MEMBERSHIP
from teamaccess.api import create_app
from teamaccess.common.configuration.settings import Settings
from teamaccess.service import open_service
from teamaccess.storage import OrganizationId, UserId

MEMBERS = 10_000
PAGES = (100, 1000)

PEOPLE = """
SELECT user_id, email, name, joined_at, suspended_at, last_active_at
FROM memberships JOIN users ON users.id = user_id LEFT JOIN activity USING (organization_id, user_id)
WHERE organization_id = $1 AND (joined_at, user_id) > ($2, $3)
ORDER BY joined_at, user_id LIMIT $4
"""
ROLES = """
SELECT user_id, role, granted_at, expires_at FROM role_assignments
WHERE organization_id = $1 AND user_id = ANY ($2)
"""


class Cursor(msgspec.Struct):
    """The part of a page that a client needs to request the next one."""

    next_cursor: str | None


class ListWorker:
    """Reads the list over the API, page after page."""

    def __init__(
        self, port: int, organization: OrganizationId, administrator: SignedInUser, page: int
    ) -> None:
        self._connection = Connection(port)
        self._path = f"/v1/organizations/{organization}/members?limit={page}"
        self._token = administrator.token
        self._cursor: str | None = None

    async def __call__(self) -> None:
        """Read the next page."""
        more = f"&cursor={self._cursor}" if self._cursor else ""
        answer = await self._connection.ask(200, "GET", self._path + more, self._token)
        self._cursor = msgspec.json.decode(answer.body, type=Cursor).next_cursor


class BareListWorker:
    """The same check and queries without the API, and the same fields as JSON."""

    def __init__(
        self, bare: BareStack, organization: OrganizationId, user: UserId, guard: str, page: int
    ) -> None:
        self._bare, self._organization, self._user, self._page = bare, organization, user, page
        self._guard = guard
        self._after = datetime.min.replace(tzinfo=UTC), ""

    async def __call__(self) -> None:
        """Read the next page."""
        await self._bare.check(self._organization, self._user, (MEMBERSHIP, self._guard))
        people = await self._bare.database.fetch(
            PEOPLE, self._organization, *self._after, self._page
        )
        ids = [person["user_id"] for person in people]
        roles = await self._bare.database.fetch(ROLES, self._organization, ids)
        held: dict[str, list[dict[str, object]]] = {id: [] for id in ids}
        for role in roles:
            held[role["user_id"]].append(dict(role))
        msgspec.json.encode([{**person, "roles": held[person["user_id"]]} for person in people])
        last = people[-1] if len(people) == self._page else None
        self._after = (
            (last["joined_at"], last["user_id"]) if last else (datetime.min.replace(tzinfo=UTC), "")
        )


async def measure(environment: Environment) -> list[Table]:
    """List 10,000 members of one organization."""
    rows: list[Row] = []
    async with open_service(environment.settings) as service, bare_stack(environment) as bare:
        id = await population.create_organization(service)
        [administrator] = await population.add_administrators(service, id, 1)
        await population.add_members(service, id, "support", MEMBERS)
        guard = service.catalog.guards["view_members"]
        for page in PAGES:
            ours = ListWorker(environment.port, id, administrator, page)
            bares = BareListWorker(bare, id, administrator.id, guard, page)
            figures = await interleave(f"members, pages of {page}", [ours], [bares])
            queries = await _queries(environment.settings, id, administrator, page)
            rows.append(_row(page, queries, *figures))
    return [Table(f"Members: {MEMBERS:,} of one organization, listed by one caller", rows)]


def _row(page: int, queries: int, ours: Figures, bare: Figures) -> Row:
    compared = ratio(ours, bare)
    return {
        "page": str(page),
        "SQL queries": str(queries),
        "members /s": page * ours.per_second,
        "median ms": ours.median_ms,
        "p95 ms": ours.p95_ms,
        "bare members /s": page * bare.per_second,
        "bare median ms": bare.median_ms,
        "ratio": compared.median,
        "of rounds": compared.spread,
    }


async def _queries(
    settings: Settings, organization: OrganizationId, administrator: SignedInUser, page: int
) -> int:
    """Count the SQL statements of one request, in an API inside this process."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # Litestar's types are its own
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://api") as http,
    ):

        async def ask() -> None:
            answer = await http.get(
                f"/v1/organizations/{organization}/members",
                params={"limit": page},
                headers={"Authorization": f"Bearer {administrator.token}"},
            )
            answer.raise_for_status()

        await ask()  # records the administrator's activity, which happens once a minute
        return await _statements(ask)


async def _statements(ask: Callable[[], Awaitable[None]]) -> int:
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await ask()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return len(statements)
