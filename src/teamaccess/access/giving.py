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
    """A request names the same role twice, so its expiry would be ambiguous."""

    message = "The role {role!r} is listed twice. List each role once."


class OperatorOnlyRole(Forbidden):
    """The catalog lets only operators give this role, through the `teamaccess` command."""

    message = "Only operators of this service can give the role {role}. Ask one of them."


class RoleBeyondGiver(Forbidden):
    """The roles to be given allow actions that the giver lacks."""

    message = "You can't give these roles: they include permissions you don't have ({missing})."


class EndInThePast(Invalid):
    """`expires_at` is not in the future."""

    message = "expires_at must be in the future; got {until}."


class EndTooFar(Invalid):
    """`expires_at` is later than the catalog's `longest_days` allow."""

    message = (
        "expires_at can be at most {days} days ahead; got {until}. Leave it out for access "
        "without an end."
    )


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
