"""Organizations and members in large numbers, created through the ledger."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert

from teamaccess.changes import Change
from teamaccess.common.progress import Meter
from teamaccess.directory.members import imports
from teamaccess.directory.members.imports import Newcomer
from teamaccess.directory.organizations import create
from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.ledger import Attribution
from teamaccess.service import Service
from teamaccess.storage import (
    Channel,
    Membership,
    OrganizationId,
    RoleAssignment,
    RoleId,
    User,
    UserId,
    new_user_id,
)

BENCHMARK_OPERATOR = Attribution("operator:benchmarks", Channel.OPERATOR, "benchmarks")
AT_ONCE = 200
"""Members in one change. With two relationships each they still fit one write."""


@dataclass(frozen=True)
class SignedInUser:
    """A user with an access token."""

    id: UserId
    token: str


async def create_organization(service: Service) -> OrganizationId:
    """Create an organization without members; return its id."""
    id = OrganizationId(f"bench-{secrets.token_hex(6)}")
    async with service.ledger.change(BENCHMARK_OPERATOR) as change:
        await create.create_organization(change, id, id.title(), founder=None)
        await service.ledger.commit(change)
    return id


async def add_members(
    service: Service, organization: OrganizationId, role: str, count: int
) -> list[UserId]:
    """Add new users as members with the role; return their ids."""
    joined: list[UserId] = []
    while len(joined) < count:
        users = [new_user_id() for _ in range(min(AT_ONCE, count - len(joined)))]
        async with service.ledger.change(BENCHMARK_OPERATOR, organization) as change:
            await _insert(change, organization, RoleId(role), users)
            receipts = await service.ledger.commit(change)
        if any(receipt.pending for receipt in receipts):
            raise TimeoutError(f"SpiceDB does not keep up with {len(users)} members at once")
        joined += users
    return joined


async def import_members(
    service: Service, organization: OrganizationId, roles: Sequence[str], count: int
) -> None:
    """Import new users as members in large batches. The roles alternate."""
    newcomers = (
        Newcomer(
            f"{number}@{organization}.example",
            f"Member {number}",
            RoleId(roles[number % len(roles)]),
        )
        for number in range(count)
    )
    batches = imports.import_members(
        service.ledger, service.applier, BENCHMARK_OPERATOR, organization, newcomers
    )
    with Meter(f"{organization}, {count:,} members", "members", count) as meter:
        async for batch in batches:
            meter.step(len(batch.members))


async def add_administrators(
    service: Service, organization: OrganizationId, count: int
) -> list[SignedInUser]:
    """Add administrators, each with a token."""
    users = await add_members(service, organization, service.catalog.administrator, count)
    now = await service.now()
    return [
        SignedInUser(user, issue_access_token(service.keys, Audience.USER, user, now, LONGEST_LIFE))
        for user in users
    ]


async def _insert(
    change: Change, organization: OrganizationId, role: RoleId, users: list[UserId]
) -> None:
    """Insert the members with three statements. The ledger entry follows from the rows."""
    member = {"organization_id": organization}
    await change.session.execute(
        insert(User),
        [{"id": user, "email": f"{user}@example.com", "name": user} for user in users],
    )
    for table, columns in (
        (Membership, {"joined_at": change.now}),
        (RoleAssignment, {"role": role, "granted_at": change.now}),
    ):
        await change.session.execute(
            insert(table), [{**member, **columns, "user_id": user} for user in users]
        )
