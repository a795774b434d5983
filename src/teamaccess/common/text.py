"""Text that people type: what may be kept and shown."""

import unicodedata

from teamaccess.common.errors import Invalid

JOINERS = "\u200c\u200d"
"""Persian names and composed emoji need them; they reorder and hide nothing."""
LONGEST_NAME = 100
LONGEST_REASON = 1000


class InvalidText(Invalid):
    """A name or a reason is empty, too long, or has control characters."""

    message = "{field} must have 1 to {longest} characters and no control characters."


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


def visible(text: str) -> str:
    r"""Return the text with `\uXXXX` for what a terminal would act on instead of showing it.

    SECURITY: for text that nobody cleaned, such as what somebody wrote into SpiceDB or what another login
    calls a user. Line breaks stay. JSON stays JSON, with the same meaning.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if c != "\n" and _unspeakable(c) else c for c in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _unspeakable(character: str) -> bool:
    forbidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return unicodedata.category(character) in forbidden and character not in JOINERS
