"""YAML read with the line of everything, noting what is wrong and reading on.

A read never fails: it notes a mistake and answers with something empty, so that one pass
finds every mistake.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

import yaml

from teamaccess.catalog.errors import Mistake

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
        self, where: str, node: yaml.Node | None, mistakes: list[Mistake], line: int = 1
    ) -> None:
        self.where = where
        self.line = line
        self.readable = isinstance(node, yaml.MappingNode)
        self._mistakes = mistakes
        self._known: list[str] = []
        self._entries: dict[Word, yaml.Node] = {}
        if isinstance(node, yaml.MappingNode):
            self._enter(node)
        elif node is not None:
            self.wrong(line_of(node), "must be a block of `key: value` lines")

    def wrong(self, line: int, message: str) -> None:
        """Note a mistake."""
        self._mistakes.append(Mistake(line, f"{self.where}: {message}"))

    def __iter__(self) -> Iterator[Word]:
        return iter(self._entries)

    def __contains__(self, key: str) -> bool:
        return Word(key) in self._entries

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
            self.wrong(text.line, f"`{key}` must be one of {', '.join(choices)}, not {text!r}")
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
        words: list[Word] = []
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or item.tag != TEXT:
                self.wrong(line_of(item), f"`{key}` must list texts")
            elif item.value in words:
                self.wrong(line_of(item), f"`{key}` lists {item.value!r} twice")
            else:
                words.append(Word.of(item))
        return words

    def block(self, key: str) -> "Block":
        """Return the block below a key."""
        node = self._take(key)
        where = f"{self.where}.{key}" if self.where != TOP else key
        return Block(where, node, self._mistakes, self._line_of(key))

    def blocks(self) -> Iterator[tuple[Word, "Block"]]:
        """Yield every key with the block below it."""
        for key in self:
            yield key, self.block(key)

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._entries:
            if key not in self._known:
                self.wrong(
                    key.line,
                    f"has the unknown key {str(key)!r}; known are {', '.join(self._known)}",
                )

    def _enter(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if key.tag != TEXT:
                self.wrong(line_of(key), "has a key that is not text")
            if isinstance(key, yaml.ScalarNode):
                if key.value in self:
                    self.wrong(line_of(key), f"has {key.value!r} twice")
                self._entries.setdefault(Word.of(key), value)

    def _take(self, key: str, required: bool = True) -> yaml.Node | None:
        self._known.append(key)
        node = self._entries.get(Word(key))
        if node is None and required and self.readable:
            self.wrong(self.line, f"needs `{key}`")
        return node

    def _line_of(self, key: str) -> int:
        return next((word.line for word in self._entries if word == key), self.line)

    def _absent(self, text: str) -> Word:
        word = Word(text)
        word.line = self.line
        return word
