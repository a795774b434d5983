"""The rules about giving roles, on every path: to members, to teams, by invitations and imports.

From the seeds: fintoc's Administrator "cannot be granted through the Dashboard"; administrators manage
members, and nobody else can make one.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from teamaccess.access.role_set import RoleSet
from teamaccess.catalog import Catalog
from teamaccess.changes import Change
from teamaccess.common.errors import Forbidden, Invalid
from teamaccess.storage import Channel, RoleId


class RoleTwice(Invalid):
    """The role {role!r} is named twice; name each role once."""


class OperatorOnlyRole(Forbidden):
    """The role {role} cannot be granted here; ask whoever operates this service."""


class RoleBeyondGiver(Forbidden):
    """Nobody gives what they do not have: of what these roles allow, you lack {missing}."""


class EndInThePast(Invalid):
    """An end lies in the future, and {until} does not."""


class EndTooFar(Invalid):
    """An end lies at most {days} days ahead; {until} is further. Leave it out for none."""


Ends = Mapping[RoleId, datetime | None]
"""Roles with their ends; None for a role without one."""


def refuse_operator_only(change: Change, roles: Iterable[RoleId], known: RoleSet) -> None:
    """Raise OperatorOnlyRole, unless an operator gives them."""
    if change.attribution.channel is not Channel.OPERATOR:
        for role in sorted(roles):
            if known.operators_grant(role):
                raise OperatorOnlyRole(role=role)


def refuse_beyond(actions: frozenset[str], held: frozenset[str]) -> None:
    """Raise RoleBeyondGiver unless every action that is given is held."""
    if missing := sorted(actions - held):
        raise RoleBeyondGiver(missing=missing)


def refuse_bad_end(catalog: Catalog, until: datetime | None, now: datetime) -> None:
    """Raise EndInThePast or EndTooFar for an end that nobody can give."""
    if until is None:
        return
    if until <= now:
        raise EndInThePast(until=until.astimezone(UTC).isoformat())
    if until > now + timedelta(days=catalog.longest_days):
        told = until.astimezone(UTC).isoformat()
        raise EndTooFar(days=catalog.longest_days, until=told)
