"""What roles include and may give, resolved before anything is compiled."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import get_args

from teamaccess.catalog.document import Block, LocatedText
from teamaccess.catalog.model import GrantedBy, Level
from teamaccess.common.sentences.excerpts import LONGEST_QUOTED_NAME, excerpt, suggest_names

MOST_HOLDERS = 50_000
"""SECURITY: the pairs of an action and a role that holds it, in one catalog. `includes` and `levels` let
a short text stand for the product of its roles and its actions. A large real catalog has about 15,000."""


class Inclusion:
    """The keys `includes`, `levels` and `may_give` of all roles.

    Sets of roles are numbers with one bit for each role, because a catalog can chain thousands of roles.
    """

    def __init__(
        self,
        roles: Mapping[LocatedText, Block],
        administrator: str,
        granted_by: Mapping[str, GrantedBy],
    ) -> None:
        self._roles = [str(role) for role in roles]
        self._bits = {role: 1 << index for index, role in enumerate(self._roles)}
        self._administrator = administrator
        self._operators = {role for role, by in granted_by.items() if by == "operator"}
        self._may_give: dict[str, int] = {}
        """From a role that can be given to the roles that name it."""
        self._of_level = dict.fromkeys(get_args(Level), 0)
        self._pairs = 0
        included = {str(role): self._read(role, block) for role, block in roles.items()}
        self._above = self._resolve(included, roles)

    def holders(self, named: Iterable[str], level: str | None = None) -> tuple[str, ...]:
        """Return the roles that hold something which these roles have, or every role of the level.

        They are in the order of the catalog. Roles that it does not have are left out.
        """
        direct = self._of_level[level] if level is not None else 0
        holders = direct
        for role in (*named, *self._decode(direct)):
            holders |= self._above.get(role, 0)
        if self._pairs > MOST_HOLDERS:
            return ()
        self._pairs += holders.bit_count()
        return tuple(self._decode(holders))

    def may_give(self) -> dict[str, list[str]]:
        """Return the roles that each role may give, by itself or by a role that it includes."""
        given_by: dict[str, list[str]] = {}
        for given in (role for role in self._roles if role in self._may_give):
            for giver in self.holders(self._decode(self._may_give[given])):
                given_by.setdefault(giver, []).append(given)
        return given_by

    def refuse_too_many(self, top: Block) -> None:
        """Record a mistake if the roles hold too many actions altogether."""
        if self._pairs > MOST_HOLDERS:
            top.add_mistake(
                top.line,
                f"has roles with more than {MOST_HOLDERS} actions altogether: include fewer",
            )

    def _read(self, role: LocatedText, block: Block) -> list[LocatedText]:
        """Read the keys of one role, and return the roles that it includes."""
        for level in block.texts("levels", if_empty="`levels` is empty: leave it out", default=[]):
            if level in self._of_level:
                self._of_level[level] |= self._bits[role]
            else:
                quoted = excerpt(level, LONGEST_QUOTED_NAME)
                known = ", ".join(self._of_level)
                block.add_mistake(level.line, f"`levels` must list {known}, not {quoted!r}")
        for given in self._roles_below("may_give", block):
            if given in self._operators:
                block.add_mistake(given.line, f"may give {given}, which only operators give")
            else:
                self._may_give[given] = self._may_give.get(given, 0) | self._bits[role]
        included = []
        for word in self._roles_below("includes", block):
            if word in self._operators and role not in {*self._operators, self._administrator}:
                block.add_mistake(word.line, f"includes {word}, which only operators give")
            else:
                included.append(word)
        return included

    def _roles_below(self, key: str, block: Block) -> Iterator[LocatedText]:
        """Yield the roles that a key lists and that it can list."""
        for word in block.texts(key, if_empty=f"`{key}` is empty: leave it out", default=[]):
            if word not in self._bits:
                block.add_mistake(word.line, partial(self._unknown, key, word))
            elif word == self._administrator:
                block.add_mistake(
                    word.line, f"`{key}` names {word}, the role that may do everything"
                )
            else:
                yield word

    def _unknown(self, key: str, word: str) -> str:
        quoted = excerpt(word, LONGEST_QUOTED_NAME)
        return f"`{key}` names the unknown role {quoted!r}; {suggest_names(word, self._bits)}"

    def _resolve(
        self,
        included: Mapping[str, list[LocatedText]],
        roles: Mapping[LocatedText, Block],
    ) -> dict[str, int]:
        """Return, for each role, the roles that contain it, with itself."""
        above = dict(self._bits)
        try:
            order = list(TopologicalSorter(included).static_order())
        except CycleError as cycle:
            _report(cycle.args[1], included, roles)
            return above
        for role in reversed(order):  # a role comes before the roles that it includes
            for word in included[role]:
                above[word] |= above[role]
        return above

    def _decode(self, roles: int) -> Iterator[str]:
        while roles:
            lowest = roles & -roles
            yield self._roles[lowest.bit_length() - 1]
            roles ^= lowest


def _report(
    cycle: list[str],
    included: Mapping[str, list[LocatedText]],
    roles: Mapping[LocatedText, Block],
) -> None:
    """Record a circle of roles where the first of them in the catalog includes the next one."""
    path = list(reversed(cycle))[:-1]  # each role includes the one after it
    first = next(role for role in roles if role in path)
    start = path.index(first)
    path = [*path[start:], *path[:start], str(first)]
    word = next(word for word in included[path[0]] if word == path[1])
    names = " includes ".join(excerpt(role, LONGEST_QUOTED_NAME) for role in path)
    roles[first].add_mistake(word.line, f"is included in itself: {names}")
