"""Bring many members into an organization, as an operator does who moves a customer here."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from sqlalchemy import ARRAY, BindParameter, Table, Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from teamaccess.events import record
from teamaccess.ledger import Applier, Attribution, Change, Entry, Ledger
from teamaccess.models import (
    Invitation,
    Membership,
    OrganizationId,
    RoleAssignment,
    RoleId,
    User,
    new_user_id,
)
from teamaccess.roles.known import Roles
from teamaccess.roles.rules import OperatorOnlyRole

BATCH = 450
"""Members in one change: with a role each they make one write to SpiceDB."""
AHEAD = 2
"""Batches that are written while another one is on its way into SpiceDB."""


@dataclass(frozen=True)
class Newcomer:
    """Somebody to bring in."""

    email: str
    """Normalised."""
    name: str | None
    role: RoleId


async def import_members(
    ledger: Ledger,
    applier: Applier,
    attribution: Attribution,
    organization: OrganizationId,
    newcomers: Iterable[Newcomer],
) -> AsyncIterator[tuple[int, int]]:
    """Make members of them, yielding after each batch how many it had and how many of them were new.

    Who is a member already stays as they are, so an import that was interrupted can be run again. While
    one batch is on its way into SpiceDB the next ones are written. Raises UnknownRole, OperatorOnlyRole
    (also for operators: administrators are made one by one), and EngineUnavailable where SpiceDB does
    not answer: what was yielded before is committed, and will arrive.
    """
    arriving: deque[asyncio.Task[None]] = deque()
    until = -1
    try:
        for batch in _batches(newcomers):
            async with ledger.change(attribution, organization, judging=False) as change:
                joined = await _join(change, organization, batch)
                await ledger.decide(change)
            last = arriving[-1] if arriving else None
            decided, before = change.entries, until
            until = decided[-1].position if decided else until
            arriving.append(
                asyncio.create_task(_bring_in(applier, organization, decided, before, last))
            )
            while len(arriving) > AHEAD:
                await arriving.popleft()
            yield len(batch), joined
    finally:
        await asyncio.gather(*arriving)


async def _bring_in(
    applier: Applier,
    organization: OrganizationId,
    decided: Sequence[Entry],
    arrived: int,
    after: asyncio.Task[None] | None,
) -> None:
    """Bring into SpiceDB what was decided, where it follows on what has arrived; else all that waits."""
    if after is not None:
        await after
    if decided and decided[0].position == arrived + 1:
        await applier.apply(decided)
    else:
        await applier.catch_up(organization)


async def _join(change: Change, organization: OrganizationId, batch: Sequence[Newcomer]) -> int:
    """Insert users, memberships and roles, each in one statement; return how many members are new."""
    wanted = Roles(change.catalog, {})
    for role in sorted({each.role for each in batch}):
        wanted.refuse_unknown([role])
        if wanted.operators_grant(role):
            raise OperatorOnlyRole(role=role)
    people = {each.email: each for each in batch}
    await change.session.execute(
        USERS,
        {
            "ids": [new_user_id() for _ in people],
            "emails": list(people),
            "names": [each.name for each in people.values()],
            "now": change.now,
        },
    )
    here = {"organization": organization, "now": change.now}
    known = {
        row.email: row.id for row in await change.session.execute(IDS, {"emails": list(people)})
    }
    joined = set(await change.session.scalars(MEMBERS, {**here, "users": list(known.values())}))
    given = [(id, people[email].role) for email, id in known.items() if id in joined]
    users, roles = zip(*given, strict=True) if given else ((), ())
    await change.session.execute(ROLES, {**here, "users": list(users), "roles": list(roles)})
    await change.session.execute(WITHDRAW, {**here, "emails": list(people)})
    about = f"organization:{organization}"
    await record(change, "members_imported", organization, about, members=len(joined))
    return len(joined)


def _batches(newcomers: Iterable[Newcomer]) -> Iterator[list[Newcomer]]:
    rest = iter(newcomers)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _texts(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=ARRAY(Text, dimensions=1))


_new = (
    func.unnest(_texts("ids"), _texts("emails"), _texts("names"))
    .table_valued("id", "email", "name")
    .render_derived("new")
)
_given = (
    func.unnest(_texts("users"), _texts("roles")).table_valued("id", "role").render_derived("given")
)
_now = bindparam("now", type_=User.created_at.type)
_here = bindparam("organization", type_=Text)

USERS = (
    insert(cast(Table, User.__table__))
    .from_select(
        ["id", "email", "name", "created_at", "tokens_valid_from"],
        select(_new.c.id, _new.c.email, _new.c.name, _now, _now),
    )
    .on_conflict_do_nothing(index_elements=[User.email])
)
IDS = select(User.id, User.email).where(User.email == func.any(_texts("emails")))
MEMBERS = (
    insert(cast(Table, Membership.__table__))
    .from_select(
        ["organization_id", "user_id", "joined_at"],
        select(_here, func.unnest(_texts("users")), _now),
    )
    .on_conflict_do_nothing()
    .returning(cast(Table, Membership.__table__).c.user_id)
)
ROLES = insert(cast(Table, RoleAssignment.__table__)).from_select(
    ["organization_id", "user_id", "role", "granted_at"],
    select(_here, _given.c.id, _given.c.role, _now),
)
WITHDRAW = (
    update(Invitation)
    .where(
        Invitation.organization_id == _here,
        Invitation.email == func.any(_texts("emails")),
        Invitation.accepted_at.is_(None),
        Invitation.cancelled_at.is_(None),
    )
    .values(cancelled_at=_now)
    .execution_options(synchronize_session=False)
)
"""What is on offer to somebody whose membership has begun otherwise is taken back."""
