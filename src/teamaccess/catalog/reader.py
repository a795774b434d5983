"""From the text of a catalog to the model, or to everything that is wrong with it."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import get_args

import yaml

from teamaccess.catalog.catalog import Catalog
from teamaccess.catalog.compiler import (
    BUILT_IN_OBJECT_RELATIONS,
    BUILT_IN_RELATIONS,
    BUILT_IN_TYPES,
)
from teamaccess.catalog.document import TOP, Block, Word
from teamaccess.catalog.errors import (
    LONGEST_MESSAGE,
    MOST_MISTAKES,
    InvalidCatalog,
    Mistake,
    Mistakes,
)
from teamaccess.catalog.model import (
    OPERATIONS,
    Action,
    CatalogResource,
    GrantedBy,
    Level,
    ResourceType,
    Role,
    Source,
)
from teamaccess.catalog.names import LONGEST, Names
from teamaccess.common.excerpts import LONGEST_NAME, excerpt, known_names

LONGEST_DAYS = 1826
"""Five years."""
NO_ALIASES = "YAML's aliases are not read: write it out"
"""A short text with them may stand for an endless one."""
DEEPEST = 20
"""Blocks within blocks; a catalog has six. What reads them takes a frame of the stack for each, and for
a text of brackets alone a time that grows with its square."""
TOO_DEEP = "is nested too deep"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where PyYAML has it: 64 KiB take it a third of a second, and Python itself six."""
TOO_LONG = LONGEST + 1
"""Characters of a part of a name that are read: with so many it is refused already."""
CATALOG_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def read_catalog(text: str, name: str, source: str | None = None) -> Catalog:
    """Return the catalog that the text says; raises InvalidCatalog with its mistakes.

    `source` is what the mistakes call the text, its path for example.
    """
    mistakes = Mistakes()
    if not CATALOG_NAME.fullmatch(name):
        said = excerpt(name, LONGEST_NAME)
        mistakes.add(1, lambda: f"the file's name must be of a-z, 0-9, _ and -, not {said!r}")
    try:
        if unread := sorted(set(islice(_unread(text), MOST_MISTAKES))):
            raise InvalidCatalog([*mistakes.kept, *unread], source or name)
        root = yaml.compose(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise InvalidCatalog([*mistakes.kept, _unreadable(error, text)], source or name) from None
    if root is None:
        raise InvalidCatalog([*mistakes.kept, Mistake(1, "is empty")], source or name)
    catalog = Reader(Block(TOP, root, mistakes)).catalog(name)
    if mistakes:
        raise InvalidCatalog(mistakes.kept, source or name, mistakes.left_out)
    return catalog


def _unread(text: str) -> Iterator[Mistake]:
    """Yield what is not even composed: aliases, and the first thing that is nested too deep."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            yield Mistake(line, NO_ALIASES)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            yield Mistake(line, TOO_DEEP)
            return


def _unreadable(error: yaml.YAMLError, text: str) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    told = excerpt(f"not YAML: {problem}", LONGEST_MESSAGE)
    last = text.count("\n") + 1
    return Mistake(min(mark.line + 1, last) if mark else 1, told)


class Reader:
    """One pass over a catalog, each rule where the thing that it is about is read."""

    def __init__(self, top: Block) -> None:
        self.top = top
        self.role_blocks = top.block("roles")
        self.administrator = top.text("administrator")
        self.names = Names("the organization", taken=BUILT_IN_RELATIONS)
        self.resources: dict[str, CatalogResource] = {}
        self.actions: dict[str, Action] = {}
        self.four_eyes: dict[str, tuple[Word, Block]] = {}
        self.places = {str(role): place for place, role in enumerate(self.role_blocks)}

    def catalog(self, name: str) -> Catalog:
        for resource, block in self.top.block("resources").blocks():
            self.read_resource(resource, block)
        catalog = Catalog(
            name=name,
            resources=self.resources,
            actions=self.actions,
            roles={role.id: role for role in self.read_roles()},
            types={each.id: each for each in self.read_types()},
            guards=self.read_guards(),
            administrator=self.read_administrator(),
            founder_role=self.read_founder_role(),
            longest_days=self.top.number("longest_days", default=LONGEST_DAYS),
        )
        self.check_four_eyes(catalog)
        self.top.finish()
        return catalog

    def check_four_eyes(self, catalog: Catalog) -> None:
        on_objects = {action for each in catalog.types.values() for action in each.actions.values()}
        for action, (verb, block) in self.four_eyes.items():
            if action not in on_objects:
                block.wrong(
                    verb.line, "is four-eyes, decided on an object alone, but no type has it"
                )

    def read_administrator(self) -> str:
        if self.administrator and self.administrator not in self.role_blocks:
            self.unknown_role(self.top, self.administrator)
        return str(self.administrator)

    def read_founder_role(self) -> str | None:
        founder = self.top.text("founder_role", default="")
        if founder and self.administrator and founder != self.administrator:
            self.top.wrong(
                founder.line,
                f"`founder_role` must be {self.administrator}: no organization is without one",
            )
        return str(founder) or None

    def read_resource(self, resource: Word, block: Block) -> None:
        self.resources[str(resource)] = CatalogResource(str(resource), str(block.text("label")))
        for verb, action in block.block("actions").blocks():
            self.read_action(resource, verb, action)
        block.finish()

    def read_action(self, resource: Word, verb: Word, block: Block) -> None:
        action = Action(
            id=f"{resource[:TOO_LONG]}_{verb[:TOO_LONG]}",
            resource=str(resource),
            level=block.one_of("level", get_args(Level)),
            description=str(block.text("description")),
            source=block.one_of("source", get_args(Source)),
            roles=self.read_holders(block),
            four_eyes=block.flag("four_eyes"),
            reserved=block.flag("reserved"),
        )
        self.names.claim(verb, block, action.permission, action.grant_relation)
        self.actions.setdefault(action.id, action)
        if action.four_eyes:
            self.four_eyes[action.id] = verb, block
        block.finish()

    def read_holders(self, block: Block) -> tuple[str, ...]:
        """Return the roles that hold an action; the administrator's need not be written."""
        alone = f"[{excerpt(self.administrator, LONGEST_NAME)}]"
        named = block.words(
            "roles", if_empty=f"is for nobody; write {alone} if only the administrator may"
        )
        for role in named:
            if role not in self.role_blocks:
                self.unknown_role(block, role)
            elif role == self.administrator and len(named) > 1:
                block.wrong(role.line, f"names {role}, who may do everything, beside others")
        holders = {str(role) for role in (*named, self.administrator) if role in self.places}
        return tuple(sorted(holders, key=self.places.__getitem__))

    def read_roles(self) -> Iterator[Role]:
        held = defaultdict[str, list[str]](list)
        for action in self.actions.values():
            for holder in action.roles:
                held[holder].append(action.id)
        for role, block in self.role_blocks.blocks():
            self.names.claim(role, block, str(role))
            granted_by: GrantedBy = block.one_of("granted_by", get_args(GrantedBy))
            teams = block.flag("teams")
            if teams and role == self.administrator:
                block.wrong(role.line, "is the administrator's, which only people hold, not teams")
            elif teams and granted_by == "operator":
                block.wrong(role.line, "is the operator's to grant, which a team would get round")
            actions = frozenset(held[role])
            if granted_by == "operator" and not any(self.actions[a].reserved for a in actions):
                block.wrong(
                    role.line,
                    "is the operator's to grant, so one of its actions must be `reserved`:"
                    " or organizations could make the same role themselves",
                )
            yield Role(
                id=str(role),
                name=str(block.text("name")),
                description=str(block.text("description")),
                granted_by=granted_by,
                teams=teams,
                actions=actions,
            )
            block.finish()

    def read_types(self) -> Iterator[ResourceType]:
        known = Names("the types", taken=BUILT_IN_TYPES)
        for resource_type, block in self.top.block("types").blocks():
            known.claim(resource_type, block, str(resource_type))
            actions = self.read_object_actions(block.block("actions"))
            yield ResourceType(
                id=str(resource_type),
                label=str(block.text("label")),
                actions=actions,
                demands_creator=not self.four_eyes.keys().isdisjoint(actions.values()),
            )
            block.finish()

    def read_object_actions(self, block: Block) -> dict[str, str]:
        names = Names("this type", taken=BUILT_IN_OBJECT_RELATIONS)
        for verb in block:
            names.claim(verb, block, str(verb), f"granted_{verb}")
        return {str(verb): self.read_action_id(block, verb) for verb in block}

    def read_guards(self) -> dict[str, str]:
        block = self.top.block("guards")
        guards = {operation: self.read_action_id(block, operation) for operation in OPERATIONS}
        for operation, action in guards.items():
            if action in self.four_eyes:
                block.wrong(
                    block.text(operation).line,
                    f"{operation} names {action}, which is decided on an object alone",
                )
        block.finish()
        return guards

    def read_action_id(self, block: Block, key: str) -> str:
        action = block.text(key)
        if action and action not in self.actions and self.actions:
            said, named = excerpt(str(action), LONGEST_NAME), excerpt(str(key), LONGEST_NAME)
            block.wrong(action.line, f"{named} names {said!r}, which is no action")
        return str(action)

    def unknown_role(self, block: Block, role: Word) -> None:
        if self.role_blocks.readable:
            block.wrong(role.line, partial(self.which_role, role))

    def which_role(self, role: Word) -> str:
        said = excerpt(str(role), LONGEST_NAME)
        return f"names the unknown role {said!r}; {known_names(role, self.places)}"
