"""A rebuild of an empty SpiceDB from the rows, against bare writes of as many relationships."""

import asyncio
from statistics import median

from authzed.api.v1 import Relationship, RelationshipUpdate, SubjectReference

from benchmarks.reconcile import ROWS
from benchmarks.support.bare_stack import BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.load import seconds_of
from benchmarks.support.population import BENCHMARK_OPERATOR
from benchmarks.support.report import Row, Table
from teamaccess.common.progress import Meter
from teamaccess.local.postgres.server import APPLICATION, SPICEDB
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId
from teamaccess.upkeep import Rebuilder

RELATIONSHIPS = 50_000
ORGANIZATIONS = 10
ROUNDS = 3
PAGE = 1000
BARE = OrganizationId("bare")
EMPTY = "TRUNCATE relation_tuple"
# A ledger with one entry, which contains the relationships of the rows.
ONE_ENTRY = """
SET session_replication_role = replica;
ALTER TABLE ledger DROP CONSTRAINT ledger_size_check;
UPDATE ledger_heads SET position = 1, hash = sha256(organization_id::bytea);
INSERT INTO ledger (organization_id, position, updates, actor, channel, request_id,
  catalog_version, decided_at, previous_hash, hash)
  SELECT organization_id, 1, array_agg(
      format('TOUCH organization:%s#%s@user:%s', organization_id, relation, user_id)
    ), 'benchmarks', 'operator', 'benchmarks', 'none', now(), '', min(hash)
  FROM ledger_heads JOIN memberships USING (organization_id), unnest(ARRAY['member', 'support']) relation
  GROUP BY organization_id;
INSERT INTO ledger_applications (organization_id, position, status)
  SELECT organization_id, 1, 'applied' FROM ledger_heads;
"""


async def measure(environment: Environment) -> list[Table]:
    """Rebuild ten organizations, in turns with the bare side."""
    async with open_service(environment.settings) as service, bare_stack(environment) as bare:
        row = await _compare(environment, service, bare)
    return [Table("teamaccess reconcile --rebuild against bare writes", [row])]


async def _compare(environment: Environment, service: Service, bare: BareStack) -> Row:
    size = {"organizations": ORGANIZATIONS, "members": RELATIONSHIPS // 2}
    await _psql(environment, ROWS.format(**size) + ONE_ENTRY, APPLICATION)
    our_seconds, bare_seconds = [], []
    with Meter("rebuild", "rounds", ROUNDS) as meter:
        for _ in range(ROUNDS):
            await _psql(environment, EMPTY, SPICEDB)
            our_seconds.append(await seconds_of(_rebuild(service)))
            await _psql(environment, EMPTY, SPICEDB)
            bare_seconds.append(await seconds_of(_bare(bare)))
            meter.step()
    ratios = [bare / own for bare, own in zip(bare_seconds, our_seconds, strict=True)]
    return {
        "relationships": RELATIONSHIPS,
        "relationships /s": RELATIONSHIPS / median(our_seconds),
        "bare relationships /s": RELATIONSHIPS / median(bare_seconds),
        "of bare's speed": median(ratios),
        "of rounds": f"{min(ratios):.2f} to {max(ratios):.2f}",
    }


async def _psql(environment: Environment, commands: str, database: str) -> None:
    await asyncio.to_thread(environment.stack.postgres.psql, commands, database)


async def _rebuild(service: Service) -> None:
    rebuilder = Rebuilder(service.ledger, service.engine, service.catalog, BENCHMARK_OPERATOR)
    done = await rebuilder.rebuild_all(lambda seen: None)
    if len(done.organizations) != ORGANIZATIONS or done.relationships < RELATIONSHIPS:
        raise ValueError(f"{len(done.organizations)} of {ORGANIZATIONS} were rebuilt")


async def _bare(bare: BareStack) -> None:
    """Write as many members, a thousand updates at a time, without a marker or a lock."""
    for begin in range(0, RELATIONSHIPS // 2, PAGE // 2):
        await bare.write(
            BARE,
            [
                _touch(relation, number)
                for number in range(begin, begin + PAGE // 2)
                for relation in ("member", "support")
            ],
        )


def _touch(relation: str, number: int) -> RelationshipUpdate:
    subject = SubjectReference(object=reference("user", f"usr_{number:020}"))
    return RelationshipUpdate(
        operation=RelationshipUpdate.OPERATION_TOUCH,
        relationship=Relationship(
            resource=reference("organization", BARE), relation=relation, subject=subject
        ),
    )
