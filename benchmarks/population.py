"""Organizations with their people, made through the ledger as all are, but many at once."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert

from teamaccess.changes import Change
from teamaccess.common.progress import Meter
from teamaccess.directory.members.imports import Newcomer, import_members
from teamaccess.directory.organizations.create import create_organization
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

BY_BENCHMARKS = Attribution("operator:benchmarks", Channel.OPERATOR, "benchmarks")
AT_ONCE = 200
"""Members in one change: two relationships each still make one write."""


@dataclass(frozen=True)
class Person:
    """Somebody signed in."""

    id: UserId
    token: str


async def organization(service: Service) -> OrganizationId:
    """Found a new organization, with nobody in it."""
    id = OrganizationId(f"bench-{secrets.token_hex(6)}")
    async with service.ledger.change(BY_BENCHMARKS) as change:
        await create_organization(change, id, id.title(), founder=None)
        await service.ledger.commit(change)
    return id


async def join(
    service: Service, organization: OrganizationId, role: str, count: int
) -> list[UserId]:
    """Add new users as members with the role; return their ids."""
    joined: list[UserId] = []
    while len(joined) < count:
        users = [new_user_id() for _ in range(min(AT_ONCE, count - len(joined)))]
        async with service.ledger.change(BY_BENCHMARKS, organization) as change:
            await _insert(change, organization, RoleId(role), users)
            receipts = await service.ledger.commit(change)
        if any(receipt.pending for receipt in receipts):
            raise TimeoutError(f"SpiceDB does not keep up with {len(users)} members at once")
        joined += users
    return joined


async def bring_in(
    service: Service, organization: OrganizationId, roles: Sequence[str], count: int
) -> None:
    """Import new users as members, with the roles in turns, for who needs very many."""
    newcomers = (
        Newcomer(
            f"{number}@{organization}.example",
            f"Member {number}",
            RoleId(roles[number % len(roles)]),
        )
        for number in range(count)
    )
    batches = import_members(
        service.ledger, service.applier, BY_BENCHMARKS, organization, newcomers
    )
    with Meter(f"{organization}, {count:,} members", "members", count) as meter:
        async for brought_in, _ in batches:
            meter.step(brought_in)


async def administrators(
    service: Service, organization: OrganizationId, count: int
) -> list[Person]:
    """Add administrators, each with a token."""
    users = await join(service, organization, service.catalog.administrator, count)
    now = await service.now()
    return [
        Person(user, issue_access_token(service.keys, Audience.USER, user, now, LONGEST_LIFE))
        for user in users
    ]


async def _insert(
    change: Change, organization: OrganizationId, role: RoleId, users: list[UserId]
) -> None:
    """Three statements for any number of members; the ledger follows from the rows."""
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
