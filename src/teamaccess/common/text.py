"""Text that people type: which characters are accepted and how they are shown."""

import unicodedata

from teamaccess.common.errors import Invalid

JOINERS = "\u200c\u200d"
"""Persian names and composed emoji need these characters. They neither reorder nor hide text."""
LONGEST_NAME = 100
LONGEST_REASON = 1000


class InvalidText(Invalid):
    """A name or a reason is empty, too long, or has control characters."""

    message = "{field} must have 1 to {longest} characters and no control characters."


def clean(field: str, text: str, longest: int) -> str:
    """Return the text in NFC without surrounding space.

    Raises InvalidText if nothing is left, if the text is longer than `longest` characters, or if it has
    characters that could control a terminal, a log or a page.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(text) <= longest or any(_is_control_character(character) for character in text):
        raise InvalidText(field=field, longest=longest)
    return text


def pluralize(count: int, noun: str) -> str:
    """Return "1 mistake", "2 mistakes"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def escape_controls(text: str) -> str:
    r"""Return the text with `\uXXXX` for each character that could control a terminal.

    SECURITY: use it for text that was not cleaned, such as a foreign relationship in SpiceDB or a user's
    name from another login. Line breaks stay. JSON stays JSON with the same meaning.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if c != "\n" and _is_control_character(c) else c for c in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _is_control_character(character: str) -> bool:
    forbidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return unicodedata.category(character) in forbidden and character not in JOINERS
