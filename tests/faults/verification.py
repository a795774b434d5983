"""The check after a storm: every promise was kept, and nothing else was done."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import asyncpg

from teamaccess.local.postgres.server import OWNER, SUPERUSER
from teamaccess.relationships import Relationship, Touch, parse_update, replay
from teamaccess.storage import LedgerEntry, OrganizationId, UserId
from tests.faults.clients import Clients
from tests.faults.cluster import Cluster
from tests.faults.operation_log import Operation, OperationLog
from tests.support.agreement import (
    head_position,
    ledger_entries,
    marked_positions,
    relationships_of_rows,
    replay_entries,
    spicedb_contents,
    unexpired,
    without_markers,
)
from tests.support.chain_hashes import broken_entries, broken_events
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import wait_until

BEHIND = """
SELECT count(*) FROM ledger_heads heads WHERE organization_id = ANY($1) AND position > coalesce(
  (SELECT max(position) FROM ledger_applications
   WHERE organization_id = heads.organization_id AND status IN ('applied', 'skipped')), 0)
"""
FOUND = "SELECT kind, organization_id, details FROM findings WHERE organization_id = ANY($1)"
RECORDED_REQUESTS = """
SELECT request_id FROM events WHERE kind NOT IN ('refused', 'acceptance_refused', 'sign_in_refused')
"""
MEMBER_ROLES = """
SELECT memberships.user_id, role FROM memberships LEFT JOIN role_assignments
  ON role_assignments.organization_id = memberships.organization_id
  AND role_assignments.user_id = memberships.user_id
  AND (role_assignments.expires_at IS NULL OR role_assignments.expires_at > clock_timestamp())
WHERE memberships.organization_id = $1 AND suspended_at IS NULL
"""
ERROR_WORDS = ("unexpected_error", "organization_stopped", "entry_refused", "Traceback")
SETTLING_SECONDS = 90
MAY_CHANGE_NOTHING = ("change_roles",)
"""Setting the roles that a member already has adds no event."""


async def assert_promises_kept(cluster: Cluster, clients: Clients) -> None:
    """Assert that no promise was broken, and that rows, ledger and SpiceDB agree."""
    if found := await find_violations(cluster, clients):
        raise AssertionError("\n".join(found))


async def find_violations(cluster: Cluster, clients: Clients) -> list[str]:
    """Everything that is not as it was promised, a line each."""
    organizations = [organization.id for organization in clients.organizations]
    found: list[str] = []
    await cluster.engine_recovered()
    async with cluster.deployment() as deployment, _superuser(deployment) as connection:
        await wait_until(lambda: _all_there(connection, organizations), SETTLING_SECONDS)
        ledgers: dict[str, list[LedgerEntry]] = {}
        for id in organizations:
            organization = Organization(
                deployment, id, Person(deployment, UserId("nobody"), "", "")
            )
            ledgers[id] = await ledger_entries(organization)
            found += [each async for each in _disagreements(organization, ledgers[id])]
            found += [f"{id}: broken at {at}" for at in await broken_entries(connection, id)]
            found += [f"{id}: events broken at {at}" for at in await broken_events(connection, id)]
            found += [
                each
                async for each in _wrong_permissions(
                    cluster, connection, deployment, id, ledgers[id]
                )
            ]
        for row in await connection.fetch(FOUND, organizations):
            found.append("finding: {} {} {}".format(*row))
        decided = {entry.request_id for ledger in ledgers.values() for entry in ledger}
        recorded = {row["request_id"] for row in await connection.fetch(RECORDED_REQUESTS)}
    found += _logged_errors(cluster)
    found += _broken_promises(clients.log, ledgers, recorded)
    found += _false_refusals(clients.log, decided | recorded)
    found += [each async for each in _removed_but_allowed(cluster, clients.log, ledgers)]
    return found


async def _all_there(connection: Connection, organizations: list[OrganizationId]) -> bool:
    return bool(await connection.fetchval(BEHIND, organizations) == 0)


async def _disagreements(
    organization: Organization, ledger: list[LedgerEntry]
) -> AsyncIterator[str]:
    """Compare the rows, the replayed ledger and SpiceDB at one instant."""
    now = await organization.deployment.service.now()
    held = await spicedb_contents(organization)
    decided = unexpired(replay_entries(ledger), now)
    for side, state in (
        ("rows", unexpired(await relationships_of_rows(organization), now)),
        ("SpiceDB", unexpired(without_markers(held), now)),
    ):
        if state != decided:
            lacks, more = sorted(map(str, decided - state)), sorted(map(str, state - decided))
            yield f"{organization.id}: {side} lacks {lacks} and has {more} beyond the ledger"
    if marked_positions(held) != {entry.position: entry.hash.hex()[:12] for entry in ledger}:
        yield f"{organization.id}: SpiceDB's markers are not those of the ledger"
    if head_position(held) != {entry.position: entry.hash.hex()[:12] for entry in ledger[-1:]}:
        yield f"{organization.id}: SpiceDB's newest position is not the ledger's"


async def _wrong_permissions(
    cluster: Cluster,
    connection: Connection,
    deployment: Deployment,
    organization: OrganizationId,
    ledger: list[LedgerEntry],
) -> AsyncIterator[str]:
    """Yield each user named in the ledger whose permissions are not exactly those that the rows give."""
    catalog = deployment.service.catalog
    asked = {"membership", *(action.permission for action in catalog.actions.values())}
    roles_by_member: dict[str, set[str]] = defaultdict(set)
    for row in await connection.fetch(MEMBER_ROLES, organization):
        roles_by_member[row["user_id"]].update({row["role"]} - {None})
    for user in _named(ledger):
        may: set[str] = set()
        if user in roles_by_member:
            actions = catalog.actions_of(roles_by_member[user])
            may = {"membership", *(catalog.actions[each].permission for each in actions)}
        permitted = await cluster.spicedb_client.permitted(organization, user, asked)
        if permitted != may:
            yield f"{organization}: {user} may {sorted(permitted)}, not {sorted(may)}"


def _named(ledger: Iterable[LedgerEntry]) -> set[str]:
    subjects = {
        parse_update(text).relationship.subject.object for entry in ledger for text in entry.updates
    }
    return {each.id for each in subjects if each.type == "user"}


def _broken_promises(
    record: OperationLog, ledgers: dict[str, list[LedgerEntry]], recorded: set[str]
) -> Iterator[str]:
    """Yield each acknowledged operation that the ledger or the events lack, or that had no effect."""
    decided = {entry.request_id for ledger in ledgers.values() for entry in ledger}
    for organization, ledger in ledgers.items():
        promised = defaultdict(list)
        for operation in record.acknowledged:
            if operation.organization == organization:
                promised[operation.last.positions.get(organization, 0)].append(operation)
        state: set[Relationship] = set()
        for position in range(max([len(ledger), *promised]) + 1):
            entry = ledger[position - 1] if 0 < position <= len(ledger) else None
            if entry is not None:
                state = replay(map(parse_update, entry.updates), onto=state)
            for operation in promised[position]:
                if position and entry is None:
                    yield f"lost: {operation}"
                elif not _effective(operation, state):
                    yield f"without effect: {operation}"
                elif (
                    len(operation.answers) == 1
                    and operation.last.request not in recorded
                    and (
                        operation.verb not in MAY_CHANGE_NOTHING
                        or operation.last.request in decided
                    )
                ):
                    yield f"not recorded in the events: {operation}"


def _effective(operation: Operation, state: Iterable[Relationship]) -> bool:
    names = {name for each in state for name in (each.identity, str(each.resource))}
    return operation.present <= names and not operation.absent & names


def _false_refusals(record: OperationLog, done: set[str]) -> Iterator[str]:
    """Yield operations that were refused although they were done, and those that were done twice."""
    for operation in record.operations:
        times = sum(each.request in done for each in operation.answers if each.request is not None)
        if times > 1:
            yield f"done {times} times: {operation}"
        for answer in operation.answers:
            if not answer.done and not answer.unknown and answer.request in done:
                yield f"refused, although it was done: {operation}"
            if answer.status == 500:
                yield f"an internal error, request {answer.request}: {operation}"


def _logged_errors(cluster: Cluster) -> Iterator[str]:
    """Yield the unexpected errors that the programs logged."""
    for program in cluster.programs.values():
        yield from (f"died by itself: {death}" for death in program.deaths)
        lines = program.new_log_lines()
        for number, line in enumerate(lines):
            if any(word in line for word in ERROR_WORDS):
                yield f"{program.name} logged an error: " + "\n".join(lines[number : number + 60])


async def _removed_but_allowed(
    cluster: Cluster, record: OperationLog, ledgers: dict[str, list[LedgerEntry]]
) -> AsyncIterator[str]:
    """Yield each removal after which the user was allowed something at the token of the answer."""
    for operation in record.acknowledged:
        token = operation.last.zed_token
        if operation.removed is None or token is None:
            continue
        exactly = await cluster.spicedb_client.allowed(
            operation.organization, operation.removed, exactly=token
        )
        if exactly is None:
            yield f"nobody can tell at its token: {operation}"
        if (exactly or operation.allowed_after) and not _let_in_again(
            operation, ledgers[operation.organization]
        ):
            yield f"still let in: {operation}"


def _let_in_again(operation: Operation, ledger: list[LedgerEntry]) -> bool:
    member = f"organization:{operation.organization}#member@user:{operation.removed}"
    position = operation.last.positions.get(operation.organization, 0)
    for entry in ledger[position:]:
        for update in map(parse_update, entry.updates):
            if isinstance(update, Touch) and update.relationship.identity == member:
                return True
    return False


@asynccontextmanager
async def _superuser(deployment: Deployment) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(deployment.owner_url.replace(OWNER, SUPERUSER, 1))
    try:
        yield connection
    finally:
        await connection.close()
