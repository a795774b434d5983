"""YAML read with the line of everything, noting what is wrong and reading on.

A read never fails: it notes a mistake and answers with something empty, so that one pass
finds every mistake. Its time grows with the text alone, and no message with what is quoted.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import yaml

from teamaccess.catalog.errors import Mistakes
from teamaccess.common.excerpts import LONGEST_NAME, excerpt, known_names

TEXT = "tag:yaml.org,2002:str"
FLAG = "tag:yaml.org,2002:bool"
NUMBER = "tag:yaml.org,2002:int"
NUMERAL = re.compile(r"[1-9][0-9]{0,5}")
TOP = "catalog"
OneOf = TypeVar("OneOf", bound=str)


class Word(str):
    """A text of the document that knows its line."""

    __slots__ = ("line",)
    line: int

    @classmethod
    def of(cls, node: yaml.ScalarNode) -> "Word":
        word = cls(node.value)
        word.line = line_of(node)
        return word


def line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


class Block:
    """A mapping of the document. What nobody has read by the time of `finish` is a mistake.

    Where there is no mapping, `readable` is false and nothing in it is missed.
    """

    def __init__(
        self, where: str, node: yaml.Node | None, mistakes: Mistakes, line: int = 1
    ) -> None:
        self.where = where
        self.line = line
        self.readable = isinstance(node, yaml.MappingNode)
        self._mistakes = mistakes
        self._known: dict[str, None] = {}
        self._entries: dict[str, tuple[Word, yaml.Node]] = {}
        if isinstance(node, yaml.MappingNode):
            self._enter(node)
        elif node is not None:
            self.wrong(line_of(node), "must be a block of `key: value` lines")

    def wrong(self, line: int, message: str | Callable[[], str]) -> None:
        """Note a mistake; a message that takes time is given as a function."""

        def told() -> str:
            return f"{self.where}: {message if isinstance(message, str) else message()}"

        self._mistakes.add(line, told)

    def __iter__(self) -> Iterator[Word]:
        return (word for word, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def text(self, key: str, default: str | None = None) -> Word:
        """Return one line of text; without a default the key must be there."""
        node = self._take(key, required=default is None)
        if node is None:
            return self._absent(default or "")
        if not isinstance(node, yaml.ScalarNode) or node.tag != TEXT:
            self.wrong(
                line_of(node), f"`{key}` must be text (quote it if it looks like another type)"
            )
            return self._absent("")
        if not node.value.strip() or not node.value.isprintable():
            self.wrong(line_of(node), f"`{key}` must be one line of text that can be seen")
        return Word.of(node)

    def one_of(self, key: str, choices: Sequence[OneOf]) -> OneOf:
        """Return the choice that is written."""
        text = self.text(key)
        for choice in choices:
            if choice == text:
                return choice
        if text:
            said = excerpt(text, LONGEST_NAME)
            self.wrong(text.line, f"`{key}` must be one of {', '.join(choices)}, not {said!r}")
        return choices[0]

    def flag(self, key: str) -> bool:
        """Return true or false; false where nothing is written."""
        node = self._take(key, required=False)
        if node is None:
            return False
        if node.tag != FLAG or node.value not in ("true", "false"):
            self.wrong(line_of(node), f"`{key}` must be true or false")
        return bool(node.value == "true")

    def number(self, key: str, default: int) -> int:
        """Return a positive whole number; the default where nothing is written."""
        node = self._take(key, required=False)
        if node is None:
            return default
        if node.tag != NUMBER or not NUMERAL.fullmatch(node.value):
            self.wrong(line_of(node), f"`{key}` must be a whole number from 1 to 999999")
            return default
        return int(node.value)

    def words(self, key: str, if_empty: str) -> list[Word]:
        """Return a list of texts, none of them twice, and not empty."""
        node = self._take(key)
        if not isinstance(node, yaml.SequenceNode):
            if node is not None:
                self.wrong(line_of(node), f"`{key}` must be a list")
            return []
        if not node.value:
            self.wrong(line_of(node), if_empty)
        words: dict[str, Word] = {}
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or item.tag != TEXT:
                self.wrong(line_of(item), f"`{key}` must list texts")
            elif item.value in words:
                said = excerpt(item.value, LONGEST_NAME)
                self.wrong(line_of(item), f"`{key}` lists {said!r} twice")
            else:
                words[item.value] = Word.of(item)
        return list(words.values())

    def block(self, key: str) -> "Block":
        """Return the block below a key."""
        node = self._take(key)
        name = excerpt(key, LONGEST_NAME)
        where = f"{self.where}.{name}" if self.where != TOP else name
        return Block(where, node, self._mistakes, self._line_of(key))

    def blocks(self) -> Iterator[tuple[Word, "Block"]]:
        """Yield every key with the block below it."""
        for key in self:
            yield key, self.block(key)

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self:
            if key not in self._known:
                self.wrong(key.line, partial(self._unknown, key))

    def _unknown(self, key: str) -> str:
        said = excerpt(str(key), LONGEST_NAME)
        return f"has the unknown key {said!r}; {known_names(key, self._known)}"

    def _enter(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if key.tag != TEXT:
                self.wrong(line_of(key), "has a key that is not text")
            if isinstance(key, yaml.ScalarNode):
                if key.value in self:
                    said = excerpt(key.value, LONGEST_NAME)
                    self.wrong(line_of(key), f"has {said!r} twice")
                self._entries.setdefault(key.value, (Word.of(key), value))

    def _take(self, key: str, required: bool = True) -> yaml.Node | None:
        self._known[str(key)] = None
        _, node = self._entries.get(key, (None, None))
        if node is None and required and self.readable:
            self.wrong(self.line, f"needs `{key}`")
        return node

    def _line_of(self, key: str) -> int:
        word, _ = self._entries.get(key, (None, None))
        return word.line if word is not None else self.line

    def _absent(self, text: str) -> Word:
        word = Word(text)
        word.line = self.line
        return word
