"""Refuse a key that JSON or YAML has twice. Parsers differ in which of the two values they take."""

import json
from collections import Counter
from typing import Any, ClassVar

import yaml

from teamaccess.common.errors import Invalid
from teamaccess.common.sentences.plurals import pluralize

SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(SAFE):  # type: ignore[misc]
    """Leaves times as text, because `parse_time` reads them."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, form) for tag, form in resolvers if tag != TIMESTAMP]
        for first, resolvers in SAFE.yaml_implicit_resolvers.items()
    }


class DuplicateKey(Invalid):
    """An object of a JSON body has a key twice."""

    message = "The body has the key {key!r} {count:time} in one object. Send it once."


class RepeatedKey(ValueError):
    """An object of a JSON text has a key twice."""

    def __init__(self, key: str, count: int) -> None:
        super().__init__(f"it has the key {key!r} {pluralize(count, 'time')} in one object")
        self.key, self.count = key, count


class DuplicateLine(ValueError):
    """A block of a YAML or JSON file has a key twice."""

    def __init__(self, key: str, line: int, first: int) -> None:
        super().__init__(f"line {line}: {key!r} is already in line {first}. Keep one of the two")


def refuse_duplicate_keys(text: bytes) -> None:
    """Raise DuplicateKey for JSON with an object that has a key twice, at any depth.

    `\\u0061` and `a` are the same key. The text must be valid JSON in UTF-8.
    """
    # numbers stay text, because Python takes long to read huge ones
    try:
        json.loads(
            text.decode(),
            object_pairs_hook=_refuse_pairs,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
    except RepeatedKey as repeated:
        raise DuplicateKey(key=repeated.key, count=repeated.count) from None


def read_json(text: str | bytes) -> Any:
    """Return the content of a JSON text.

    Raises ValueError for anything else, and RepeatedKey for an object that has a key twice.
    """
    return json.loads(text, object_pairs_hook=_object_of)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_pairs(pairs)
    return dict(pairs)


def _refuse_pairs(pairs: list[tuple[str, Any]]) -> None:
    counts = Counter(key for key, _ in pairs)
    for key, count in counts.items():
        if count > 1:
            raise RepeatedKey(key, count)


def read_yaml(text: str) -> Any:
    """Return the content of a YAML or JSON file. A time stays text.

    Raises yaml.YAMLError, and DuplicateLine for a key that a block has twice.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_duplicate_lines(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _refuse_duplicate_lines(root: yaml.Node) -> None:
    seen: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes.extend(reversed(node.value))
        elif isinstance(node, yaml.MappingNode):
            first: dict[tuple[str, str], yaml.Node] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if (earlier := first.setdefault((key.tag, key.value), key)) is not key:
                    raise DuplicateLine(key.value, _line(key), _line(earlier))
            nodes.extend(each for pair in reversed(node.value) for each in reversed(pair))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
