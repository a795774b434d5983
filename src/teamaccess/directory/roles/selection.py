"""The actions of a custom role, which a request names by their ids or by a resource and a level.

A selector stands for the actions of its resource at its level that custom roles may hold, at the moment
when the role is saved. An action that the catalog gets later is not added by itself: it is only shown as
one that could be added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from teamaccess.catalog import Action, Catalog
from teamaccess.common.errors import Invalid
from teamaccess.storage import CustomRole


class UnknownAction(Invalid):
    """The catalog has no such action."""

    message = "The catalog has no action {action!r}."


class ActionTwice(Invalid):
    """A request names the same action twice."""

    message = "The action {action!r} is listed twice. List each action once."


class ReservedAction(Invalid):
    """The catalog reserves the actions for its own roles."""

    message = (
        "A custom role can't include {actions}: they are reserved for predefined roles. Leave "
        "them out."
    )


class NothingSelected(Invalid):
    """The catalog's resource has no action at this level that a custom role may have."""

    message = (
        "The resource {resource!r} has no action at the level {level} that a custom role can "
        "include. Choose another level or resource."
    )


@dataclass(frozen=True)
class Selector:
    """The actions of a resource at a level."""

    resource: str
    level: str

    def __str__(self) -> str:
        return f"{self.resource} {self.level}"

    def of(self, catalog: Catalog) -> frozenset[str]:
        """Return the actions that it stands for in the catalog."""
        return frozenset(
            action.id
            for action in catalog.actions.values()
            if (action.resource, action.level) == (self.resource, self.level)
            and not action.reserved
        )


Parts = Sequence[str | Selector]
"""The actions and selectors that a request names."""


def actions_of(catalog: Catalog, parts: Parts) -> frozenset[str]:
    """Return the actions that the parts stand for.

    Raises ActionTwice, UnknownAction, ReservedAction, and NothingSelected for a selector without actions.
    """
    for part in parts:
        if parts.count(part) > 1:
            raise ActionTwice(action=part)
    named = [part for part in parts if not isinstance(part, Selector)]
    refuse_reserved(_known(catalog, action) for action in named)
    selected = [_selected(catalog, part) for part in selectors_among(parts)]
    return frozenset(named).union(*selected)


def selectors_among(parts: Parts) -> list[Selector]:
    """Return the selectors, in their order."""
    return [part for part in parts if isinstance(part, Selector)]


def could_add(catalog: Catalog, role: CustomRole) -> frozenset[str]:
    """Return the actions that the role's selectors would add if it were saved now."""
    selected = (Selector(**each).of(catalog) for each in role.selectors)
    return frozenset().union(*selected) - role.actions


def refuse_reserved(actions: Iterable[Action]) -> None:
    """Raise ReservedAction if one of the actions is only for the catalog's roles."""
    if reserved := sorted(action.id for action in actions if action.reserved):
        raise ReservedAction(actions=reserved)


def _known(catalog: Catalog, action: str) -> Action:
    if action not in catalog.actions:
        raise UnknownAction(action=action)
    return catalog.actions[action]


def _selected(catalog: Catalog, selector: Selector) -> frozenset[str]:
    if not (actions := selector.of(catalog)):
        raise NothingSelected(resource=selector.resource, level=selector.level)
    return actions
