"""Read the text of a catalog, or report all of its mistakes."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
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
from teamaccess.catalog.document import ROOT, Block, LocatedText
from teamaccess.catalog.errors import (
    LONGEST_MESSAGE,
    MOST_MISTAKES,
    InvalidCatalog,
    Mistake,
    Mistakes,
)
from teamaccess.catalog.inclusion import Inclusion
from teamaccess.catalog.model import (
    OPERATIONS,
    Action,
    CatalogResource,
    GrantedBy,
    Level,
    ObjectRole,
    ResourceType,
    Role,
    Source,
    giving_permission,
)
from teamaccess.catalog.names import LONGEST, DefinitionNames
from teamaccess.common.sentences.excerpts import LONGEST_QUOTED_NAME, excerpt, suggest_names

LONGEST_DAYS = 1826
"""Five years."""
NO_ALIASES = "YAML's aliases are not supported: write it out"
"""SECURITY: a short text with aliases may stand for a huge one."""
MAX_DEPTH = 20
"""Nested blocks. A catalog has six levels. The parser uses a stack frame for each level, and for a text
of brackets alone its time grows with the square of the length."""
TOO_DEEP = "is nested too deep"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, if PyYAML has it. It reads 64 KiB in a third of a second, Python's own in six."""
MAX_NAME_PART = LONGEST + 1
"""Characters of each part of a name that are used. A longer part makes the name too long anyway."""
CATALOG_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def read_catalog(text: str, name: str, source: str | None = None) -> Catalog:
    """Return the catalog of the text. Raises InvalidCatalog with its mistakes.

    `source` names the text in the mistakes, for example by its path.
    """
    mistakes = Mistakes()
    if not CATALOG_NAME.fullmatch(name):
        quoted = excerpt(name, LONGEST_QUOTED_NAME)
        mistakes.add(1, lambda: f"the file's name must be of a-z, 0-9, _ and -, not {quoted!r}")
    try:
        if unsupported := sorted(set(islice(_unsupported_yaml(text), MOST_MISTAKES))):
            raise InvalidCatalog([*mistakes.kept, *unsupported], source or name)
        root = yaml.compose(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise InvalidCatalog(
            [*mistakes.kept, _syntax_mistake(error, text)], source or name
        ) from None
    if root is None:
        raise InvalidCatalog([*mistakes.kept, Mistake(1, "is empty")], source or name)
    catalog = Reader(Block(ROOT, root, mistakes)).catalog(name)
    if mistakes:
        raise InvalidCatalog(mistakes.kept, source or name, mistakes.left_out)
    return catalog


def _unsupported_yaml(text: str) -> Iterator[Mistake]:
    """Yield YAML that is refused before it is composed: aliases, and the first block nested too deep."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            yield Mistake(line, NO_ALIASES)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            yield Mistake(line, TOO_DEEP)
            return


def _syntax_mistake(error: yaml.YAMLError, text: str) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    message = excerpt(f"not YAML: {problem}", LONGEST_MESSAGE)
    last = text.count("\n") + 1
    return Mistake(min(mark.line + 1, last) if mark else 1, message)


class Reader:
    """One pass over a catalog. It checks each rule where it reads the value that the rule is about."""

    def __init__(self, top: Block) -> None:
        self.top = top
        self.role_blocks = top.block("roles")
        self.administrator = top.text("administrator")
        self.names = DefinitionNames("the organization", taken=BUILT_IN_RELATIONS)
        self.resources: dict[str, CatalogResource] = {}
        self.actions: dict[str, Action] = {}
        self.four_eyes: dict[str, tuple[LocatedText, Block]] = {}
        self.roles = dict(self.role_blocks.blocks())
        self.granted_by: dict[str, GrantedBy] = {
            str(role): block.one_of("granted_by", get_args(GrantedBy))
            for role, block in self.roles.items()
        }
        self.inclusion = Inclusion(self.roles, str(self.administrator), self.granted_by)

    def catalog(self, name: str) -> Catalog:
        for resource, block in self.top.block("resources").blocks():
            self.read_resource(resource, block)
        catalog = Catalog(
            name=name,
            resources=self.resources,
            actions=self.actions,
            roles={role.id: role for role in self.read_roles()},
            types={resource_type.id: resource_type for resource_type in self.read_types()},
            guards=self.read_guards(),
            administrator=self.read_administrator(),
            founder_role=self.read_founder_role(),
            longest_days=self.top.number("longest_days", default=LONGEST_DAYS),
        )
        self.check_four_eyes(catalog)
        self.inclusion.refuse_too_many(self.top)
        self.top.finish()
        return catalog

    def check_four_eyes(self, catalog: Catalog) -> None:
        types = catalog.types.values()
        on_objects = {action for type_ in types for action in type_.actions.values()}
        for action, (verb, block) in self.four_eyes.items():
            if action not in on_objects:
                block.add_mistake(
                    verb.line, "is four-eyes, decided only on an object, but no type has it"
                )

    def read_administrator(self) -> str:
        if self.administrator and self.administrator not in self.role_blocks:
            self.unknown_role(self.top, self.administrator)
        return str(self.administrator)

    def read_founder_role(self) -> str | None:
        founder = self.top.text("founder_role", default="")
        if founder and self.administrator and founder != self.administrator:
            self.top.add_mistake(
                founder.line,
                f"`founder_role` must be {self.administrator}: every organization needs one",
            )
        return str(founder) or None

    def read_resource(self, resource: LocatedText, block: Block) -> None:
        self.resources[str(resource)] = CatalogResource(str(resource), str(block.text("label")))
        for verb, action in block.block("actions").blocks():
            self.read_action(resource, verb, action)
        block.finish()

    def read_action(self, resource: LocatedText, verb: LocatedText, block: Block) -> None:
        level: Level = block.one_of("level", get_args(Level))
        action = Action(
            id=f"{resource[:MAX_NAME_PART]}_{verb[:MAX_NAME_PART]}",
            resource=str(resource),
            level=level,
            description=str(block.text("description")),
            source=block.one_of("source", get_args(Source)),
            roles=self.read_holders(block, level),
            four_eyes=block.flag("four_eyes"),
            reserved=block.flag("reserved"),
        )
        self.names.claim(verb, block, action.permission, action.grant_relation)
        self.actions.setdefault(action.id, action)
        if action.four_eyes:
            self.four_eyes[action.id] = verb, block
        block.finish()

    def read_holders(self, block: Block, level: Level) -> tuple[str, ...]:
        """Return the roles that contain an action.

        The administrator's role need not be listed, nor a role that includes a listed one or the level.
        """
        alone = f"[{excerpt(self.administrator, LONGEST_QUOTED_NAME)}]"
        named = block.texts(
            "roles", if_empty=f"is for nobody; write {alone} if it is only for the administrator"
        )
        for role in named:
            if role not in self.role_blocks:
                self.unknown_role(block, role)
            elif role == self.administrator and len(named) > 1:
                block.add_mistake(
                    role.line, f"lists {role}, the role that may do everything, with other roles"
                )
        return self.inclusion.holders([*named, self.administrator], level)

    def read_roles(self) -> Iterator[Role]:
        actions_by_role = defaultdict[str, list[str]](list)
        for action in self.actions.values():
            for holder in action.roles:
                actions_by_role[holder].append(action.id)
        may_give = self.inclusion.may_give()
        for given in {given: None for given_by_one in may_give.values() for given in given_by_one}:
            key = next(role for role in self.roles if role == given)
            self.names.claim(key, self.roles[key], giving_permission(given))
        for role, block in self.roles.items():
            self.names.claim(role, block, str(role))
            granted_by = self.granted_by[role]
            teams = block.flag("teams")
            if teams and role == self.administrator:
                block.add_mistake(role.line, "is the administrator's role, which teams cannot hold")
            elif teams and granted_by == "operator":
                block.add_mistake(role.line, "is for operators to grant, which a team would bypass")
            actions = frozenset(actions_by_role[role])
            if granted_by == "operator" and not any(self.actions[a].reserved for a in actions):
                block.add_mistake(
                    role.line,
                    "is for operators to grant, so one of its actions must be `reserved`."
                    " Otherwise an organization could make the same role itself",
                )
            yield Role(
                id=str(role),
                name=str(block.text("name")),
                description=str(block.text("description")),
                granted_by=granted_by,
                teams=teams,
                actions=actions,
                may_give=tuple(may_give.get(role, ())),
            )
            block.finish()

    def read_types(self) -> Iterator[ResourceType]:
        type_names = DefinitionNames("the types", taken=BUILT_IN_TYPES)
        for resource_type, block in self.top.block("types").blocks():
            type_names.claim(resource_type, block, str(resource_type))
            names = DefinitionNames("this type", taken=BUILT_IN_OBJECT_RELATIONS)
            actions = self.read_object_actions(block.block("actions"), names)
            roles = self.read_object_roles(block, actions, names)
            yield ResourceType(
                id=str(resource_type),
                label=str(block.text("label")),
                actions=actions,
                demands_creator=not self.four_eyes.keys().isdisjoint(actions.values()),
                roles={role.id: role for role in roles},
            )
            block.finish()

    def read_object_roles(
        self, block: Block, actions: Mapping[str, str], names: DefinitionNames
    ) -> list[ObjectRole]:
        """Return the roles on one object of a type. The key is optional."""
        if "roles" not in block:
            return []
        return [
            self.read_object_role(role, each, actions, names)
            for role, each in block.block("roles").blocks()
        ]

    def read_object_role(
        self, role: LocatedText, block: Block, actions: Mapping[str, str], names: DefinitionNames
    ) -> ObjectRole:
        names.claim(role, block, str(role), f"granted_{role}")
        named = block.texts("actions", if_empty="is a role without actions")
        for verb in named:
            if verb not in actions:
                quoted = excerpt(verb, LONGEST_QUOTED_NAME)
                block.add_mistake(
                    verb.line,
                    f"names {quoted!r}, which the type does not have;"
                    f" {suggest_names(verb, actions)}",
                )
        name, description = block.text("name"), block.text("description")
        block.finish()
        known = tuple(verb for verb in actions if verb in named)
        return ObjectRole(str(role), str(name), str(description), known)

    def read_object_actions(self, block: Block, names: DefinitionNames) -> dict[str, str]:
        for verb in block:
            names.claim(verb, block, str(verb), f"granted_{verb}")
        return {str(verb): self.read_action_id(block, verb) for verb in block}

    def read_guards(self) -> dict[str, str]:
        block = self.top.block("guards")
        guards = {operation: self.read_action_id(block, operation) for operation in OPERATIONS}
        for operation, action in guards.items():
            if action in self.four_eyes:
                block.add_mistake(
                    block.text(operation).line,
                    f"{operation} names {action}, which is decided only on an object",
                )
        block.finish()
        return guards

    def read_action_id(self, block: Block, key: str) -> str:
        action = block.text(key)
        if action and action not in self.actions and self.actions:
            quoted, name = (
                excerpt(str(action), LONGEST_QUOTED_NAME),
                excerpt(str(key), LONGEST_QUOTED_NAME),
            )
            block.add_mistake(action.line, f"{name} names the unknown action {quoted!r}")
        return str(action)

    def unknown_role(self, block: Block, role: LocatedText) -> None:
        if self.role_blocks.readable:
            block.add_mistake(role.line, partial(self.unknown_role_message, role))

    def unknown_role_message(self, role: LocatedText) -> str:
        quoted = excerpt(str(role), LONGEST_QUOTED_NAME)
        return f"names the unknown role {quoted!r}; {suggest_names(role, self.roles)}"
