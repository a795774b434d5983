"""Text that people type: what may be kept and shown."""

import unicodedata

from teamaccess.errors import Invalid

JOINERS = "\u200c\u200d"
"""Persian names and composed emoji need them; they reorder and hide nothing."""
LONGEST_NAME = 100
LONGEST_REASON = 1000


class InvalidText(Invalid):
    """{field} must have 1 to {longest} characters, without control characters."""


def clean(field: str, text: str, longest: int) -> str:
    """Return the text in NFC without space around it.

    Raises InvalidText where nothing is left, it is too long, or it has characters that no terminal,
    log or page should be sent.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(text) <= longest or any(_unspeakable(character) for character in text):
        raise InvalidText(field=field, longest=longest)
    return text


def counted(count: int, noun: str) -> str:
    """Return "1 mistake", "2 mistakes"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _unspeakable(character: str) -> bool:
    forbidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return unicodedata.category(character) in forbidden and character not in JOINERS
