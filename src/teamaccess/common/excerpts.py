"""Quote what others have sent, within limits: an answer must not grow with what it refuses."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Any

LONGEST_QUOTE = 300
"""Characters of a text that is quoted."""
LONGEST_LOCAL_QUOTE = 10_000
"""The same, where the text is of this machine and only its operator reads it."""
MOST_LISTED = 50
"""Entries of a list that is quoted."""
LONGEST_NAME = 100
"""Characters of a name among others; the names of a catalog have 64 at most."""
LONGEST_LIST_OF_NAMES = 300
"""Characters up to which all known names are listed."""
MOST_COMPARED = 200
"""Names that an unknown one is compared with; comparing takes time."""
MOST_BITS = 256
"""The size of a number that is quoted; writing out a huge one takes time."""


def excerpt(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Return the text, cut to so many characters; a cut text ends in an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def bounded(value: Any, most: int = MOST_LISTED, longest: int = LONGEST_QUOTE) -> Any:
    """Return a plain value with its texts and lists cut, whatever is inside it."""
    match value:
        case bool() | float() | None:
            return value
        case int():
            return value if value.bit_length() <= MOST_BITS else "a huge number"
        case list() | tuple():
            return [bounded(each, longest=longest) for each in value[:most]]
        case dict():
            items = islice(value.items(), most)
            return {excerpt(str(key)): bounded(each, longest=longest) for key, each in items}
        case _:
            return excerpt(str(value), longest)


def known_names(unknown: str, known: Collection[str]) -> str:
    """Return what helps somebody who wrote an unknown name: all names, or the nearest ones.

    The text has some hundred characters at most, however many names there are.
    """
    names = [excerpt(each, LONGEST_NAME) for each in islice(known, MOST_LISTED)]
    everything = f"known are {', '.join(names)}"
    if len(known) <= len(names) and len(everything) <= LONGEST_LIST_OF_NAMES:
        return everything
    if near := nearest(unknown, known):
        return f"did you mean {' or '.join(near)}?"
    few = names[:5]
    return f"known are {', '.join(few)}, and {len(known) - len(few)} more"


def nearest(unknown: str, known: Iterable[str]) -> list[str]:
    """Return at most three of the known names that look like an unknown one."""
    unknown = excerpt(unknown, LONGEST_NAME)
    alike = (each for each in known if abs(len(each) - len(unknown)) <= 3)
    likely = sorted(alike, key=lambda each: each[:2] != unknown[:2])
    return get_close_matches(unknown, likely[:MOST_COMPARED])
