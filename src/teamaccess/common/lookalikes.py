"""Find names that people mistake for each other: their case or spaces differ, or characters look alike.

The characters come from Unicode Technical Standard 39, "Unicode Security Mechanisms".
"""

import re
import unicodedata
from asyncio import sleep
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from hashlib import blake2b

from teamaccess.common.errors import Invalid
from teamaccess.common.text import INVISIBLE

SOFT_DOT = re.compile("(?<=[ij\u0131\u0237])\u0307")
"""A dot above a letter that has one already, or would lose it: it shows nothing, or only the letter."""
LETTER_VARIANT = re.compile(
    r"LATIN (?:CAPITAL |SMALL )?LETTER (?:SMALL CAPITAL|INSULAR|BLACKLETTER) ([A-Z]{1,2})"
    r"|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER ([A-Z])"
    r"|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"
)
"""Matches Unicode's names for variants of Latin letters, such as LATIN LETTER SMALL CAPITAL A. The tables
of UTS 39 map few of them to the plain letter, and NFKC leaves them as they are."""


LONGEST_WRITTEN_OUT = 300
"""The longest form that NFKC may give a name, three times as long as the name itself may be. NFKC writes
one character out as up to 18, and each of them takes time to compare."""
MOST_REMEMBERED = 20_000
"""Names whose forms one process remembers, in about a kilobyte each."""
AT_ONCE = 25
"""Names that are compared before other requests get a turn."""


class WrittenOutTooLong(Invalid):
    """NFKC writes out some characters of the name as many, and the result is too long."""

    message = (
        "The name has {length:character} when each of its characters is written out, for example "
        "\ufdfa with 18. At most {longest} are allowed. Choose a shorter name."
    )


async def find_lookalike_yielding(name: str, others: Iterable[str]) -> str | None:
    """Return what `find_lookalike` does, and let other requests take turns in between.

    SECURITY: a tenant may have very many names, and they must not occupy the process. So each name is
    folded once and its forms are remembered. Raises WrittenOutTooLong.
    """
    length = len(unicodedata.normalize("NFKC", name))
    if length > LONGEST_WRITTEN_OUT:
        raise WrittenOutTooLong(length=length, longest=LONGEST_WRITTEN_OUT)
    forms = _forms(name)
    for number, other in enumerate(others, start=1):
        if not forms.isdisjoint(_forms(other)):
            return other
        if number % AT_ONCE == 0:
            await sleep(0)
    return None


def find_lookalike(name: str, others: Iterable[str]) -> str | None:
    """Return the first of the other names that looks like this one, or None."""
    forms = _forms(name)
    return next((other for other in others if not forms.isdisjoint(_forms(other))), None)


def load_lookalikes() -> None:
    """Read the table of characters, which takes a tenth of a second. A server does it at its start."""
    _prototypes()


@lru_cache(maxsize=MOST_REMEMBERED)
def _forms(name: str) -> frozenset[bytes]:
    """Return hashes of the forms of a name. Names that look alike share at least one form.

    `BiIling` with a capital I looks like `Billing` as it is, `SUPPORT` like `Support` in small letters,
    and `ADMIN` in Cyrillic letters like `Admin` in capitals.
    """
    written_out = unicodedata.normalize("NFKC", name)[:LONGEST_WRITTEN_OUT]
    text = INVISIBLE.sub("", "".join(written_out.split()))
    cases = (text, text.casefold(), text.upper())
    forms = {_skeleton(each).casefold() for each in cases}
    return frozenset(blake2b(each.encode(), digest_size=16).digest() for each in forms)


def _skeleton(text: str) -> str:
    """Return the text with each character replaced by the prototype of those that look like it."""
    prototypes = _prototypes()
    decomposed = unicodedata.normalize("NFD", text)
    replaced = "".join(prototypes.get(character, character) for character in decomposed)
    return unicodedata.normalize("NFC", SOFT_DOT.sub("", replaced))


@cache
def _prototypes() -> dict[str, str]:
    """Return the prototype of each character that has one, such as the Latin for the Cyrillic letter."""
    from confusable_homoglyphs.confusables import confusables_data  # slow, and few commands need it

    alike = {
        character: {other["c"].strip("\u200e") for other in others} - {character}
        for character, others in confusables_data.items()
    }

    def weight(text: str) -> tuple[int, int, str]:
        """The table lists one prototype for a character, and all characters of a prototype."""
        return len(alike.get(text, ())), len(text), text

    prototypes = {
        character: prototype
        for character, others in alike.items()
        if len(character) == 1 and others
        if (prototype := max((character, *others), key=weight)) != character
    }
    letters = {
        variant: "".join(prototypes.get(letter, letter) for letter in letters)
        for variant, letters in _letter_variants()
    }
    # a variant may be a prototype, or have one: whatever looks like it also looks like the letter
    classes = {prototypes.get(variant, variant): letter for variant, letter in letters.items()}
    merged = {character: classes.get(each, each) for character, each in prototypes.items()}
    return {**merged, **classes, **letters}


def _letter_variants() -> Iterator[tuple[str, str]]:
    """Yield each variant of a Latin letter, with the lowercase letters that it stands for."""
    for character in map(chr, range(0x250, 0x20000)):
        if match := LETTER_VARIANT.fullmatch(unicodedata.name(character, "")):
            yield character, "".join(filter(None, match.groups())).lower()
