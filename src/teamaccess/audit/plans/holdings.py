"""Everything that everybody has in one state, as an engine says it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from teamaccess.audit.questions.holders import holders
from teamaccess.audit.state.facts import Fact
from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId

MOST_ALIKE = 1000
"""Groups of objects that are not alike: each takes a question for each of its actions."""

Alike = dict[ObjectReference, list[ObjectReference]]
"""Objects by one of them that stands for all: nothing but their names tells them apart."""


class TooManyObjects(Conflict):
    """People have different access to more resources than a plan compares."""

    message = (
        "People have different access to {groups} groups of resources in {organization}; a plan"
        " can compare {most}. Propose changes to roles instead."
    )


class Holding(NamedTuple):
    """Something that people have: an action throughout the organization, or on objects that are alike."""

    action: str
    on: ObjectReference | None
    """The one that stands for them; None for an action throughout the organization."""


Holdings = dict[Holding, set[UserId]]


async def holdings(
    engine: Engine,
    at: Consistency,
    catalog: Catalog,
    organization: OrganizationId,
    objects: Iterable[ObjectReference],
) -> Holdings:
    """Return who has what. Four-eyes actions are decided on objects alone."""
    here = organization_object(organization)
    asked = {
        (here, each.id): Holding(each.id, None)
        for each in catalog.actions.values()
        if not each.four_eyes
    }
    asked |= {
        (on, verb): Holding(verb, on)
        for on in objects
        if on.type in catalog.types
        for verb in catalog.types[on.type].actions
    }
    held = await holders(engine, at, list(asked))
    return {asked[place]: users for place, users in held.items()}


def alike(organization: OrganizationId, *states: Iterable[Fact]) -> Alike:
    """Return the registered objects, those together that have the same in every state.

    Raises TooManyObjects.
    """
    told: dict[str, list[str]] = defaultdict(list)
    registered = set()
    for number, facts in enumerate(states):
        for fact in facts:
            resource, _, rest = fact.identity.partition("#")
            told[resource].append(f"{number} {rest}")
            if rest.startswith("organization@"):
                registered.add(resource)
    groups: dict[tuple[str, ...], list[ObjectReference]] = defaultdict(list)
    for resource in sorted(registered):
        on = ObjectReference.parse(resource)
        groups[(on.type, *sorted(told[resource]))].append(on)
    if len(groups) > MOST_ALIKE:
        raise TooManyObjects(organization=organization, groups=len(groups), most=MOST_ALIKE)
    return {group[0]: group for group in groups.values()}


def gained(before: Holdings, after: Holdings) -> Mapping[UserId, list[Holding]]:
    """Return what people have after and had not before, in the order of `after`."""
    found: dict[UserId, list[Holding]] = defaultdict(list)
    for holding, users in after.items():
        for user in users - before.get(holding, set()):
            found[user].append(holding)
    return found
