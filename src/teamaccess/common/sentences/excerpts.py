"""Quote input within limits, so that an answer does not grow with the input that it refuses."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Any

LONGEST_QUOTE = 300
"""Characters of a quoted text."""
LONGEST_LOCAL_QUOTE = 10_000
"""Characters of a quoted text that comes from this machine and that only its operator reads."""
MOST_LISTED = 50
"""Entries of a quoted list."""
LONGEST_QUOTED_NAME = 100
"""Characters of a quoted name. A catalog's names have at most 64."""
LONGEST_LIST_OF_NAMES = 300
"""Characters of a list of all known names. Beyond that, only the closest names are listed."""
MOST_COMPARED = 200
"""Names that an unknown name is compared with. Comparing takes time."""
MOST_BITS = 256
"""Bits of a quoted number. Printing a huge number takes time."""


def excerpt(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Return the text, cut to `longest` characters. A cut text ends in an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def cut_to_limits(value: Any, most: int = MOST_LISTED, longest: int = LONGEST_QUOTE) -> Any:
    """Return a plain value with its texts and lists cut, at every depth."""
    match value:
        case bool() | float() | None:
            return value
        case int():
            return value if value.bit_length() <= MOST_BITS else "a huge number"
        case list() | tuple():
            return [cut_to_limits(item, longest=longest) for item in value[:most]]
        case dict():
            items = islice(value.items(), most)
            return {excerpt(str(key)): cut_to_limits(item, longest=longest) for key, item in items}
        case _:
            return excerpt(str(value), longest)


def suggest_names(unknown: str, known: Collection[str]) -> str:
    """Return a hint for an unknown name: all known names, or the closest ones.

    The hint has a few hundred characters at most, however many names there are.
    """
    names = [excerpt(name, LONGEST_QUOTED_NAME) for name in islice(known, MOST_LISTED)]
    everything = f"known are {', '.join(names)}"
    if len(known) <= len(names) and len(everything) <= LONGEST_LIST_OF_NAMES:
        return everything
    if near := closest_names(unknown, known):
        return f"did you mean {' or '.join(near)}?"
    few = names[:5]
    return f"known are {', '.join(few)}, and {len(known) - len(few)} more"


def closest_names(unknown: str, known: Iterable[str]) -> list[str]:
    """Return at most three known names that look like the unknown one."""
    unknown = excerpt(unknown, LONGEST_QUOTED_NAME)
    alike = (name for name in known if abs(len(name) - len(unknown)) <= 3)
    likely = sorted(alike, key=lambda name: name[:2] != unknown[:2])
    return get_close_matches(unknown, likely[:MOST_COMPARED])
