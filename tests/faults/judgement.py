"""When all is over: is everything that was promised there, and nothing else?"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import asyncpg

from teamaccess.local.postgres.server import OWNER, SUPERUSER
from teamaccess.relationships import Relationship, Touch, parse_update, replay
from teamaccess.storage import LedgerEntry, OrganizationId, UserId
from tests.faults.crowd import Crowd
from tests.faults.deployment import Deployment
from tests.faults.record import Deed, Record
from tests.support.chain_hashes import broken_entries, broken_events
from tests.support.connections import Connection
from tests.support.sides import (
    entries,
    holdings,
    living,
    marked,
    markers_aside,
    newest,
    rows,
    told,
)
from tests.support.spicedb_proxy import until
from tests.support.world import Person, Team, World

BEHIND = """
SELECT count(*) FROM ledger_heads heads WHERE organization_id = ANY($1) AND position > coalesce(
  (SELECT max(position) FROM ledger_applications
   WHERE organization_id = heads.organization_id AND status IN ('applied', 'skipped')), 0)
"""
FOUND = "SELECT kind, organization_id, details FROM findings WHERE organization_id = ANY($1)"
TOLD = """
SELECT request_id FROM events WHERE kind NOT IN ('refused', 'acceptance_refused', 'sign_in_refused')
"""
SEATS = """
SELECT memberships.user_id, role FROM memberships LEFT JOIN role_assignments
  ON role_assignments.organization_id = memberships.organization_id
  AND role_assignments.user_id = memberships.user_id
  AND (role_assignments.expires_at IS NULL OR role_assignments.expires_at > clock_timestamp())
WHERE memberships.organization_id = $1 AND suspended_at IS NULL
"""
COMPLAINTS = ("unexpected_error", "organization_stopped", "entry_refused", "Traceback")
SETTLING_SECONDS = 90
MAY_CHANGE_NOTHING = ("change_roles",)
"""To the roles that somebody has already: then there is nothing to tell."""


async def everything_holds(deployment: Deployment, crowd: Crowd) -> None:
    """Assert that nothing promised is lost, and that rows, ledger and SpiceDB agree."""
    if found := await findings(deployment, crowd):
        raise AssertionError("\n".join(found))


async def findings(deployment: Deployment, crowd: Crowd) -> list[str]:
    """Everything that is not as it was promised, a line each."""
    organizations = [house.id for house in crowd.houses]
    found: list[str] = []
    await deployment.engine_recovered()
    async with deployment.world() as world, _superuser(world) as connection:
        await until(lambda: _all_there(connection, organizations), SETTLING_SECONDS)
        ledgers: dict[str, list[LedgerEntry]] = {}
        for id in organizations:
            team = Team(world, id, Person(world, UserId("nobody"), "", ""))
            ledgers[id] = await entries(team)
            found += [each async for each in _sides(team, ledgers[id])]
            found += [f"{id}: broken at {at}" for at in await broken_entries(connection, id)]
            found += [f"{id}: events broken at {at}" for at in await broken_events(connection, id)]
            found += [each async for each in _gate(deployment, connection, world, id, ledgers[id])]
        for row in await connection.fetch(FOUND, organizations):
            found.append("finding: {} {} {}".format(*row))
        decided = {entry.request_id for ledger in ledgers.values() for entry in ledger}
        recorded = {row["request_id"] for row in await connection.fetch(TOLD)}
    found += _complaints(deployment)
    found += _promises(crowd.record, ledgers, recorded)
    found += _false_refusals(crowd.record, decided | recorded)
    found += [each async for each in _doors(deployment, crowd.record, ledgers)]
    return found


async def _all_there(connection: Connection, organizations: list[OrganizationId]) -> bool:
    return bool(await connection.fetchval(BEHIND, organizations) == 0)


async def _sides(team: Team, ledger: list[LedgerEntry]) -> AsyncIterator[str]:
    """The rows, the ledger from nothing, and SpiceDB, at one instant."""
    now = await team.world.service.now()
    held = await holdings(team)
    said = living(told(ledger), now)
    for side, state in (
        ("rows", living(await rows(team), now)),
        ("SpiceDB", living(markers_aside(held), now)),
    ):
        if state != said:
            lacks, more = sorted(map(str, said - state)), sorted(map(str, state - said))
            yield f"{team.id}: {side} lacks {lacks} and has {more} beyond the ledger"
    if marked(held) != {entry.position: entry.hash.hex()[:12] for entry in ledger}:
        yield f"{team.id}: SpiceDB's markers are not those of the ledger"
    if newest(held) != {entry.position: entry.hash.hex()[:12] for entry in ledger[-1:]}:
        yield f"{team.id}: SpiceDB's newest position is not the ledger's"


async def _gate(
    deployment: Deployment,
    connection: Connection,
    world: World,
    organization: OrganizationId,
    ledger: list[LedgerEntry],
) -> AsyncIterator[str]:
    """Everybody who was ever named there may what their rows say, and nobody else anything."""
    catalog = world.service.catalog
    asked = {"membership", *(action.permission for action in catalog.actions.values())}
    seats: dict[str, set[str]] = defaultdict(set)
    for row in await connection.fetch(SEATS, organization):
        seats[row["user_id"]].update({row["role"]} - {None})
    for user in _named(ledger):
        may: set[str] = set()
        if user in seats:
            actions = catalog.actions_of(seats[user])
            may = {"membership", *(catalog.actions[each].permission for each in actions)}
        permitted = await deployment.bystander.permitted(organization, user, asked)
        if permitted != may:
            yield f"{organization}: {user} may {sorted(permitted)}, not {sorted(may)}"


def _named(ledger: Iterable[LedgerEntry]) -> set[str]:
    subjects = {
        parse_update(text).relationship.subject.object for entry in ledger for text in entry.updates
    }
    return {each.id for each in subjects if each.type == "user"}


def _promises(
    record: Record, ledgers: dict[str, list[LedgerEntry]], recorded: set[str]
) -> Iterator[str]:
    """What was acknowledged is in the ledger at its position, in the events, and had its effect."""
    decided = {entry.request_id for ledger in ledgers.values() for entry in ledger}
    for organization, ledger in ledgers.items():
        promised = defaultdict(list)
        for deed in record.acknowledged:
            if deed.organization == organization:
                promised[deed.last.positions.get(organization, 0)].append(deed)
        state: set[Relationship] = set()
        for position in range(max([len(ledger), *promised]) + 1):
            entry = ledger[position - 1] if 0 < position <= len(ledger) else None
            if entry is not None:
                state = replay(map(parse_update, entry.updates), onto=state)
            for deed in promised[position]:
                if position and entry is None:
                    yield f"lost: {deed}"
                elif not _effective(deed, state):
                    yield f"without effect: {deed}"
                elif (
                    len(deed.answers) == 1
                    and deed.last.request not in recorded
                    and (deed.verb not in MAY_CHANGE_NOTHING or deed.last.request in decided)
                ):
                    yield f"not told in the events: {deed}"


def _effective(deed: Deed, state: Iterable[Relationship]) -> bool:
    names = {name for each in state for name in (each.identity, str(each.resource))}
    return deed.present <= names and not deed.absent & names


def _false_refusals(record: Record, done: set[str]) -> Iterator[str]:
    """Nobody was told that nothing happened, of something that did, and nothing was done twice."""
    for deed in record.deeds:
        times = sum(each.request in done for each in deed.answers if each.request is not None)
        if times > 1:
            yield f"done {times} times: {deed}"
        for answer in deed.answers:
            if not answer.done and not answer.unknown and answer.request in done:
                yield f"refused, and done all the same: {deed}"
            if answer.status == 500:
                yield f"an own mistake, request {answer.request}: {deed}"


def _complaints(deployment: Deployment) -> Iterator[str]:
    """No program met anything that it has no name for."""
    for program in deployment.programs.values():
        yield from (f"died by itself: {death}" for death in program.deaths)
        lines = program.said()
        for number, line in enumerate(lines):
            if any(word in line for word in COMPLAINTS):
                yield f"{program.name} complains: " + "\n".join(lines[number : number + 60])


async def _doors(
    deployment: Deployment, record: Record, ledgers: dict[str, list[LedgerEntry]]
) -> AsyncIterator[str]:
    """Who was removed is denied at the token of the answer, unless they had been let in again."""
    for deed in record.acknowledged:
        token = deed.last.zed_token
        if deed.removed is None or token is None:
            continue
        exactly = await deployment.bystander.allowed(deed.organization, deed.removed, exactly=token)
        if exactly is None:
            yield f"nobody can tell at its token: {deed}"
        if (exactly or deed.allowed_after) and not _let_in_again(deed, ledgers[deed.organization]):
            yield f"still let in: {deed}"


def _let_in_again(deed: Deed, ledger: list[LedgerEntry]) -> bool:
    member = f"organization:{deed.organization}#member@user:{deed.removed}"
    position = deed.last.positions.get(deed.organization, 0)
    for entry in ledger[position:]:
        for update in map(parse_update, entry.updates):
            if isinstance(update, Touch) and update.relationship.identity == member:
                return True
    return False


@asynccontextmanager
async def _superuser(world: World) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(world.owner_url.replace(OWNER, SUPERUSER, 1))
    try:
        yield connection
    finally:
        await connection.close()
