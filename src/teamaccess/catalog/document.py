"""Read YAML with the line of every value, and collect mistakes.

A read never fails. It records a mistake and returns an empty value, so that one pass finds every mistake.
The time grows only with the length of the text. The length of a message does not grow with the text that
it quotes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import yaml

from teamaccess.catalog.errors import Mistakes
from teamaccess.common.sentences.excerpts import LONGEST_QUOTED_NAME, excerpt, suggest_names
from teamaccess.common.text import is_plain

TEXT = "tag:yaml.org,2002:str"
FLAG = "tag:yaml.org,2002:bool"
NUMBER = "tag:yaml.org,2002:int"
NUMERAL = re.compile(r"[1-9][0-9]{0,5}")
ROOT = "catalog"
Choice = TypeVar("Choice", bound=str)


class LocatedText(str):
    """A text of the document, with its line."""

    __slots__ = ("line",)
    line: int

    @classmethod
    def of(cls, node: yaml.ScalarNode) -> "LocatedText":
        word = cls(node.value)
        word.line = line_of(node)
        return word


def line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


class Block:
    """A mapping of the document. Each key that was not read before `finish` is a mistake.

    If the document has no mapping there, `readable` is false and no key counts as missing.
    """

    def __init__(
        self, path: str, node: yaml.Node | None, mistakes: Mistakes, line: int = 1
    ) -> None:
        self.path = path
        self.line = line
        self.readable = isinstance(node, yaml.MappingNode)
        self._mistakes = mistakes
        self._known: dict[str, None] = {}
        self._entries: dict[str, tuple[LocatedText, yaml.Node]] = {}
        if isinstance(node, yaml.MappingNode):
            self._read_entries(node)
        elif node is not None:
            self.add_mistake(line_of(node), "must be a block of `key: value` lines")

    def add_mistake(self, line: int, message: str | Callable[[], str]) -> None:
        """Record a mistake. A message that takes time to build is passed as a function."""

        def full_message() -> str:
            return f"{self.path}: {message if isinstance(message, str) else message()}"

        self._mistakes.add(line, full_message)

    def __iter__(self) -> Iterator[LocatedText]:
        return (word for word, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def text(self, key: str, default: str | None = None) -> LocatedText:
        """Return one line of text. Without a default the key is required."""
        node = self._take(key, required=default is None)
        if node is None:
            return self._missing_text(default or "")
        if not isinstance(node, yaml.ScalarNode) or node.tag != TEXT:
            self.add_mistake(
                line_of(node), f"`{key}` must be text (quote it if it looks like another type)"
            )
            return self._missing_text("")
        if not is_plain(node.value):
            self.add_mistake(line_of(node), f"`{key}` must be one line of text that can be seen")
        return LocatedText.of(node)

    def one_of(self, key: str, choices: Sequence[Choice]) -> Choice:
        """Return the value, which must be one of the choices."""
        text = self.text(key)
        for choice in choices:
            if choice == text:
                return choice
        if text:
            quoted = excerpt(text, LONGEST_QUOTED_NAME)
            self.add_mistake(
                text.line, f"`{key}` must be one of {', '.join(choices)}, not {quoted!r}"
            )
        return choices[0]

    def flag(self, key: str) -> bool:
        """Return true or false. The default is false."""
        node = self._take(key, required=False)
        if node is None:
            return False
        if node.tag != FLAG or node.value not in ("true", "false"):
            self.add_mistake(line_of(node), f"`{key}` must be true or false")
        return bool(node.value == "true")

    def number(self, key: str, default: int) -> int:
        """Return a positive whole number, or the default if the key is absent."""
        node = self._take(key, required=False)
        if node is None:
            return default
        if node.tag != NUMBER or not NUMERAL.fullmatch(node.value):
            self.add_mistake(line_of(node), f"`{key}` must be a whole number from 1 to 999999")
            return default
        return int(node.value)

    def texts(
        self, key: str, if_empty: str, default: list[LocatedText] | None = None
    ) -> list[LocatedText]:
        """Return a list of texts. It must not be empty or name a text twice.

        Without a default the key is required.
        """
        node = self._take(key, required=default is None)
        if not isinstance(node, yaml.SequenceNode):
            if node is not None:
                self.add_mistake(line_of(node), f"`{key}` must be a list")
            return list(default or ())
        if not node.value:
            self.add_mistake(line_of(node), if_empty)
        words: dict[str, LocatedText] = {}
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or item.tag != TEXT:
                self.add_mistake(line_of(item), f"`{key}` must list texts")
            elif item.value in words:
                quoted = excerpt(item.value, LONGEST_QUOTED_NAME)
                self.add_mistake(line_of(item), f"`{key}` lists {quoted!r} twice")
            else:
                words[item.value] = LocatedText.of(item)
        return list(words.values())

    def block(self, key: str) -> "Block":
        """Return the block below a key."""
        node = self._take(key)
        name = excerpt(key, LONGEST_QUOTED_NAME)
        path = f"{self.path}.{name}" if self.path != ROOT else name
        return Block(path, node, self._mistakes, self._line_of(key))

    def blocks(self) -> Iterator[tuple[LocatedText, "Block"]]:
        """Yield every key with the block below it."""
        for key in self:
            yield key, self.block(key)

    def finish(self) -> None:
        """Record each key that was not read as a mistake."""
        for key in self:
            if key not in self._known:
                self.add_mistake(key.line, partial(self._unknown, key))

    def _unknown(self, key: str) -> str:
        quoted = excerpt(str(key), LONGEST_QUOTED_NAME)
        return f"has the unknown key {quoted!r}; {suggest_names(key, self._known)}"

    def _read_entries(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if key.tag != TEXT:
                self.add_mistake(line_of(key), "has a key that is not text")
            if isinstance(key, yaml.ScalarNode):
                if key.value in self:
                    quoted = excerpt(key.value, LONGEST_QUOTED_NAME)
                    self.add_mistake(line_of(key), f"has {quoted!r} twice")
                self._entries.setdefault(key.value, (LocatedText.of(key), value))

    def _take(self, key: str, required: bool = True) -> yaml.Node | None:
        self._known[str(key)] = None
        _, node = self._entries.get(key, (None, None))
        if node is None and required and self.readable:
            self.add_mistake(self.line, f"needs `{key}`")
        return node

    def _line_of(self, key: str) -> int:
        word, _ = self._entries.get(key, (None, None))
        return word.line if word is not None else self.line

    def _missing_text(self, text: str) -> LocatedText:
        word = LocatedText(text)
        word.line = self.line
        return word
