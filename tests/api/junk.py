"""Everything that can be wrong with a body, made from one that is right."""

import copy
import json
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

LONG = "x" * 10_000
STRINGS = [0, 1.5, True, [], {}, ["x"], "", "   ", LONG, "a\x00b", "a\x07b", "a\u202eb", "a\u200bb"]
NUMBERS = ["24", "", 24.5, 1e300, True, [], {}, 0, -1, 10**6, 2**31, 2**63, 2**64, 10**40]
TIMES = [
    *("", "soon", 0, 4102444800, "4102444800", True, [], {}),
    *("2030-W01-1", "2030-01-01T", "2020-01-01T00:00:00Z", "2030-13-01T00:00:00Z"),
    *("9999-12-31T23:59:59-23:59", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"),
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.9999999Z"),
    *("2030-01-01T00:00:00+25:00", "2030-06-30T23:59:60Z", "2030-01-01T24:00:00Z", "NaN"),
]
LISTS: list[Any] = [
    None,
    0,
    "x",
    {},
    True,
    [None],
    [[]],
    [{}],
    [0],
    ["wizard"],
    [{"role": "wizard"}],
]
NUMBER_FIELDS = {"expires_in_hours", "expires_in_days", "overlap_hours"}
OPTIONAL = {"reason", "expires_at", "description", *NUMBER_FIELDS}
"""Fields that may be left out. All but the numbers may also be null."""
WHOLE_BODIES = [
    *(b"", b" ", b"null", b"[]", b"0", b'"x"', b"true", b"NaN", b"{", b"}", b"{]", b"{}"),
    *(
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[" * 10_000,
        b'{"a":' * 5_000,
        b"[" * 30_000 + b"]" * 30_000,
    ),
    *(b'{"\\u0000": 1}', b'{"a": "\\ud800"}', b'{"a": "\xed\xa0\x80"}', b"{'a': 1}", b"{} {}"),
]
NOTHING = {b"", b"null", b"{}"}
"""Valid where every field may be left out."""


def bad_bodies(good: dict[str, Any], optional: set[str] = OPTIONAL) -> Iterator[bytes]:
    """Yield bodies with one mistake each."""
    yield from (each for each in WHOLE_BODIES if good.keys() - optional or each not in NOTHING)
    encoded = json.dumps(good).encode()
    yield encoded[:-1]
    yield encoded + b"x"
    yield encoded[:-1] + b', "unknown": 1}'
    yield b"x" * 1_000_000
    yield encoded[:-1] + b', "padding": "' + b"x" * 1_000_000 + b'"}'
    if b'": "' in encoded:
        yield encoded.replace(b'": "', b'": "\\udfff', 1)
        yield encoded.replace(b'": "', b'": "\xc3\x28', 1)
    for path, value in _nodes(good):
        for junk in _junk(path, value, optional):
            yield json.dumps(_with(good, path, junk)).encode()
        if isinstance(path[-1], str) and path[-1] not in optional:
            yield json.dumps(_without(good, path)).encode()


def _nodes(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if path:
        yield path, value
    children = value.items() if isinstance(value, dict) else ()
    for key, child in enumerate(value) if isinstance(value, list) else children:
        yield from _nodes(child, (*path, key))


def _junk(path: Path, value: Any, optional: set[str]) -> Iterator[Any]:
    name = path[-1]
    if name not in optional - NUMBER_FIELDS:
        yield None
    match value:
        case str():
            yield from STRINGS
        case int():
            zero_is_valid = name == "overlap_hours"
            yield from (each for each in NUMBERS if not (zero_is_valid and each == 0))
        case None:
            yield from TIMES
        case list():
            yield from LISTS
            yield [*value, *value]
            yield value * 101
        case dict():
            yield from (0, "", [], {**value, "unknown": 1})


def _with(body: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(body)
    node = changed
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return changed


def _without(body: Any, path: Path) -> Any:
    changed = copy.deepcopy(body)
    node = changed
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    return changed
