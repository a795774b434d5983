"""Everything that everybody can do in one state, as an engine answers it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from teamaccess.audit.questions.holders import find_holders
from teamaccess.audit.state.facts import Fact
from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId

MOST_GROUPS = 1000
"""The most groups of objects in a plan. Each group takes a question for each of its actions."""

ObjectGroups = dict[ObjectReference, list[str]]
"""Groups of objects on which the same people have the same actions, each by its first object."""


class TooManyObjects(Conflict):
    """People have different access to more resources than a plan compares."""

    message = (
        "People have different access to {groups} groups of resources in {organization}; a plan"
        " can compare {most}. Propose changes to roles instead."
    )


class HeldAction(NamedTuple):
    """An action that people have throughout the organization, or on a group of objects."""

    action: str
    on: ObjectReference | None
    """The first object of the group; None for an action throughout the organization."""


HoldersByAction = dict[HeldAction, set[UserId]]
ActionsByUser = Mapping[UserId, list[HeldAction]]


async def find_holders_by_action(
    engine: Engine,
    at: Consistency,
    catalog: Catalog,
    organization: OrganizationId,
    objects: Iterable[ObjectReference],
) -> HoldersByAction:
    """Return who has each action, in the organization and on these objects.

    Four-eyes actions are asked about on objects alone, because each object decides them.
    """
    place = organization_object(organization)
    questions = {
        (place, action.id): HeldAction(action.id, None)
        for action in catalog.permissions.values()
        if not action.four_eyes
    }
    questions |= {
        (on, action): HeldAction(action, on)
        for on in objects
        if on.type in catalog.types
        for action in catalog.types[on.type].actions
    }
    holders = await find_holders(engine, at, list(questions))
    return {questions[key]: users for key, users in holders.items()}


def group_objects(organization: OrganizationId, *states: Iterable[Fact]) -> ObjectGroups:
    """Return the registered objects in groups that have the same relationships in every state.

    Raises TooManyObjects.
    """
    relationships: dict[str, list[str]] = defaultdict(list)
    registered = set()
    for number, facts in enumerate(states):
        for fact in facts:
            resource, _, rest = fact.identity.partition("#")
            relationships[resource].append(f"{number} {rest}")
            if rest.startswith("organization@"):
                registered.add(resource)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for resource in sorted(registered):
        type = resource.partition(":")[0]
        groups[(type, *sorted(relationships[resource]))].append(resource)
    refuse_too_many(organization, len(groups))
    return {ObjectReference.parse(group[0]): group for group in groups.values()}


def refuse_too_many(organization: OrganizationId, groups: int) -> None:
    """Raise TooManyObjects for more groups of objects than a plan compares."""
    if groups > MOST_GROUPS:
        raise TooManyObjects(organization=organization, groups=groups, most=MOST_GROUPS)


def gained(before: HoldersByAction, after: HoldersByAction) -> ActionsByUser:
    """Return the actions that each user has after and did not have before, in the order of `after`."""
    gains: dict[UserId, list[HeldAction]] = defaultdict(list)
    for held_action, users in after.items():
        for user in users - before.get(held_action, set()):
            gains[user].append(held_action)
    return gains
