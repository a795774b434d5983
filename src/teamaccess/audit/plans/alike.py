"""Questions about what a change can reach. People, objects and actions that are alike share one.

Two users are alike if they have the same relationships before the change and the same after it. Two
objects are alike if the users that the change reaches, and their teams, have the same relationships to
them. Two actions throughout the organization are alike if the same relations give them; relations that
are empty before and after the change do not count. The answers cannot differ between those that are
alike, so one of them stands for all.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from teamaccess.audit.plans.held_actions import (
    ActionsByUser,
    HeldAction,
    ObjectGroups,
    refuse_too_many,
)
from teamaccess.audit.plans.reach import Reached, userset_of
from teamaccess.audit.plans.related_rows import RelatedRows, State
from teamaccess.catalog import Action, Catalog
from teamaccess.engine import Question
from teamaccess.relationships import ObjectReference, Relationship, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId

Facts = frozenset[str]
"""Relationships without the user or the object that they are about, each with its state."""


class Ask(NamedTuple):
    """A question that stands for a group: may the first user do the action on the first object?"""

    users: list[UserId]
    """Users who are alike."""
    action: str
    asked: str
    """The action that is asked about: the first of those that are alike."""
    on: tuple[ObjectReference, ...]
    """The first object of each group that is alike for these users; empty for the organization."""


@dataclass
class Questions:
    """All questions, the groups behind their objects, and the two states in which they are asked."""

    organization: OrganizationId
    asks: list[Ask]
    groups: ObjectGroups
    before: list[Relationship]
    after: list[Relationship]

    @property
    def questions(self) -> list[Question]:
        """The questions to the engine, one for each of `asks`. Some are equal."""
        return [Question(self._resource(ask), ask.asked, user(ask.users[0])) for ask in self.asks]

    def gains_and_losses(
        self, before: Sequence[bool], after: Sequence[bool]
    ) -> tuple[ActionsByUser, ActionsByUser]:
        """Return what each user gains and loses by the answers in the two states."""
        gains: dict[UserId, list[HeldAction]] = defaultdict(list)
        loses: dict[UserId, list[HeldAction]] = defaultdict(list)
        for ask, had, has in zip(self.asks, before, after, strict=True):
            if had != has:
                held = [HeldAction(ask.action, on) for on in ask.on or (None,)]
                for each in ask.users:
                    (gains if has else loses)[each] += held
        return gains, loses

    def _resource(self, ask: Ask) -> ObjectReference:
        return ask.on[0] if ask.on else organization_object(self.organization)


def questions_about(catalog: Catalog, related: RelatedRows) -> Questions:
    """Return the questions that decide who gains and who loses what. Raises TooManyObjects."""
    return _Questions(catalog, related).make()


class _Group(NamedTuple):
    """Objects that are alike."""

    first: ObjectReference
    type: str
    registered: tuple[bool, bool]
    """Before and after the change."""
    subjects: Facts
    """The subjects that have relationships to the objects: users, and teams as sets."""
    facts: Facts


class _Questions:
    def __init__(self, catalog: Catalog, related: RelatedRows) -> None:
        self._catalog, self._related = catalog, related
        self._states = (related.before, related.after)
        self._of_user: dict[str, set[str]] = defaultdict(set)
        """Facts by subject, for users."""
        self._of_object: dict[str, list[Relationship]] = defaultdict(list)
        self._teams: dict[str, set[str]] = defaultdict(set)
        """The sets of people that a user belongs to, by the user."""
        self._relations_in_use: set[str] = set()
        """The organization's relations that have a subject before or after the change."""
        self._index()
        self._alike_actions: dict[frozenset[str], str] = {}
        """The first of the actions that are alike, by the relations that give them."""
        self.groups: ObjectGroups = {}
        self._group_of: dict[str, _Group] = {}
        self._groups: list[_Group] = []
        self._by_subject: dict[str, list[_Group]] = defaultdict(list)

    def make(self) -> Questions:
        self._group_objects()
        asks = [ask for users in self._classes() for ask in self._asks(users)]
        used = {ask.users[0] for ask in asks}
        objects = {ask.on[0] for ask in asks if ask.on}
        before, after = (self._state(number, used, objects) for number in (0, 1))
        return Questions(self._related.organization, asks, self.groups, before, after)

    def _index(self) -> None:
        for number, state in enumerate(self._states):
            for each in state.values():
                subject = str(each.subject)
                if each.resource.type == "organization":
                    self._relations_in_use.add(each.relation)
                if each.resource.type in self._catalog.types:
                    self._of_object[str(each.resource)].append(each)
                if subject.startswith("user:"):
                    userset = userset_of(each)
                    self._of_user[subject].add(f"{number} {userset}")
                    self._teams[subject].add(userset)

    def _group_objects(self) -> None:
        """Group the objects that can be asked about."""
        single = {
            str(on) for reached in self._related.reached.values() for on, _ in reached.on_objects
        }
        wanted = single.union(self._related.objects)
        plain = set(self._related.objects)
        members: dict[tuple[str, tuple[bool, bool], Facts], list[str]] = defaultdict(list)
        for on in sorted(wanted):
            facts, registered = self._facts_of(on, untouched=on in plain)
            members[on.partition(":")[0], registered, facts].append(on)
        refuse_too_many(self._related.organization, len(members))
        for (type, registered, facts), objects in members.items():
            first = ObjectReference.parse(objects[0])
            subjects = frozenset(fact.rpartition("@")[2] for fact in facts)
            group = _Group(first, type, registered, subjects, facts)
            self.groups[first] = objects
            self._groups.append(group)
            for on in objects if not single.isdisjoint(objects) else ():
                self._group_of[on] = group
            for subject in subjects:
                self._by_subject[subject].append(group)

    def _facts_of(self, on: str, *, untouched: bool) -> tuple[Facts, tuple[bool, bool]]:
        """Return the object's relationships to users and teams, and when it is registered."""
        found = self._of_object.get(on)
        if found is None:
            return frozenset(), (untouched, untouched)
        facts, registered = set(), [False, False]
        for number, state in enumerate(self._states):
            for each in found:
                if each.identity not in state:
                    continue
                if each.relation == "organization":
                    registered[number] = True
                else:
                    facts.add(f"{number} {each.relation}@{each.subject}")
        known = any(each.relation == "organization" for each in found)
        if untouched and not known:  # its row was not read, because nothing about it changes
            registered = [True, True]
        return frozenset(facts), (registered[0], registered[1])

    def _classes(self) -> Iterable[list[UserId]]:
        """Return the users in groups of people who are alike and may gain or lose the same."""
        classes: dict[tuple[Facts, Reached], list[UserId]] = defaultdict(list)
        for id, reached in sorted(self._related.reached.items()):
            facts = frozenset(self._of_user.get(f"user:{id}", ()))
            classes[facts, reached].append(id)
        return classes.values()

    def _asks(self, users: list[UserId]) -> Iterator[Ask]:
        reached = self._related.reached[users[0]]
        for action in self._catalog.permissions.values():
            if action.id in reached.actions and not action.four_eyes:
                yield Ask(users, action.id, self._first_alike(action), ())
        on_group: dict[ObjectReference, set[str]] = defaultdict(set)
        for on, verb in reached.on_objects:
            on_group[self._group_of[str(on)].first].add(verb)
        for groups in self._alike_for(users[0], reached, on_group):
            verbs = set().union(*(on_group.get(group.first, ()) for group in groups))
            for verb, behind in self._catalog.types[groups[0].type].actions.items():
                if behind in reached.actions or verb in verbs:
                    yield Ask(users, verb, verb, tuple(group.first for group in groups))

    def _first_alike(self, action: Action) -> str:
        """Return the first action that is like this one; this one itself if there was none before."""
        return self._alike_actions.setdefault(
            frozenset(self._relations_in_use.intersection(action.holders)), action.id
        )

    def _alike_for(
        self, id: UserId, reached: Reached, single: Iterable[ObjectReference]
    ) -> Iterator[list[_Group]]:
        """Yield the groups of objects that no relationship of this user tells apart."""
        subject = f"user:{id}"
        mine = {subject, *self._teams.get(subject, ())}
        related = {group.first: group for each in mine for group in self._by_subject.get(each, ())}
        chosen = set(single)
        alike: dict[tuple[str, tuple[bool, bool], Facts], list[_Group]] = defaultdict(list)
        for group in self._groups:
            actions = self._catalog.types[group.type].actions.values()
            if group.first not in chosen and reached.actions.isdisjoint(actions):
                continue
            facts: Facts = frozenset()
            if group.first in related:
                facts = frozenset(fact for fact in group.facts if fact.rpartition("@")[2] in mine)
            alike[group.type, group.registered, facts].append(group)
        yield from alike.values()

    def _state(
        self, number: int, users: set[UserId], objects: set[ObjectReference]
    ) -> list[Relationship]:
        """Return the relationships that decide about these users and objects in one state."""
        state: State = self._states[number]
        chosen = [
            each
            for each in state.values()
            if (each.subject.object.type != "user" or each.subject.object.id in users)
            and (each.resource.type not in self._catalog.types or each.resource in objects)
        ]
        tenant = organization_object(self._related.organization)
        for group in self._groups:
            if group.first in objects and group.registered[number]:
                registration = group.first.relates("organization", tenant)
                if registration.identity not in state:
                    chosen.append(registration)
        return chosen
