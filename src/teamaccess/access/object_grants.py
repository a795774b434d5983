"""The rules of giving and taking single actions on one object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Forbidden
from teamaccess.relationships import ObjectReference


class GrantBeyondGiver(Forbidden):
    """The grant allows an action on the resource that the giver lacks."""

    message = (
        "You can't give this access to {resource}: it includes permissions you don't have there"
        " ({missing})."
    )


class GrantAboveActor(Forbidden):
    """The change takes away an action on the resource that the caller lacks."""

    message = (
        "You can't take away this access to {resource}: it includes permissions you don't have "
        "there ({missing})."
    )


@dataclass(frozen=True)
class GrantsOnObject:
    """The actions on one object that somebody gets, and those that somebody else loses."""

    resource: ObjectReference
    given: frozenset[str]
    taken: frozenset[str]
    behind: Mapping[str, str]
    """From an action on the object to the action that gives it throughout the organization."""

    @property
    def taken_everywhere(self) -> frozenset[str]:
        """The actions throughout the organization behind those that are taken."""
        return frozenset(self.behind[verb] for verb in self.taken)


async def refuse_grants(
    change: OrganizationChange, grants: GrantsOnObject, held: frozenset[str]
) -> None:
    """Raise GrantBeyondGiver or GrantAboveActor for what the actor may not do to the object.

    What counts is what the actor may do to the object. A holder of the action in the organization may do
    it to the object, and so may a holder of a grant, but never the object's creator where the action
    takes four eyes. An actor who holds the action in the organization, and could so take it away
    everywhere, may take it away here, even on an object that they created. For an object that the same
    change registers, the organization is asked what the actor will hold on it
    (`OrganizationChange.held`).
    """
    held_on_object = await held_on(change, grants)
    if missing := sorted(grants.given - held_on_object):
        raise GrantBeyondGiver(resource=grants.resource, missing=missing)
    taken = grants.taken - held_on_object
    if missing := sorted(verb for verb in taken if grants.behind[verb] not in held):
        raise GrantAboveActor(resource=grants.resource, missing=missing)


async def held_on(change: OrganizationChange, grants: GrantsOnObject) -> frozenset[str]:
    """Return which of the actions that are given or taken the actor may do to the object.

    The schema gives an action on every object to those who have it in the organization, unless it takes
    four eyes. So the organization is asked first, once for all objects of a change, and the object only
    about the rest.
    """
    held = await _held_everywhere(change, grants)
    rest = (grants.given | grants.taken) - held
    return held | await change.held(rest, on=grants.resource) if rest else held


async def prefetch_held_on(change: OrganizationChange, grants: Iterable[GrantsOnObject]) -> None:
    """Ask about all objects in few calls, so that `held_on` finds the answers for each."""
    asked = {}
    for each in grants:
        rest = (each.given | each.taken) - await _held_everywhere(change, each)
        if rest and each.resource not in change.registered:
            asked[each.resource] = rest
    if asked:
        await change.prefetch_permitted(change.organization, change.actor, asked)


async def _held_everywhere(change: OrganizationChange, grants: GrantsOnObject) -> frozenset[str]:
    """Return which of the actions the actor holds throughout the organization, so on every object."""
    actions = change.catalog.actions
    # the question does not depend on the grants, so it is the same for all objects of a type
    everywhere = await change.held({actions[each].permission for each in grants.behind.values()})
    return frozenset(
        verb
        for verb in grants.given | grants.taken
        for action in [actions[grants.behind[verb]]]
        if action.permission in everywhere and not action.four_eyes
    )
