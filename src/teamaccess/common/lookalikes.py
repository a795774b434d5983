"""Find names that people mistake for each other: other case, other spaces, characters that look alike.

The characters come from Unicode Technical Standard 39, "Unicode Security Mechanisms".
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

from teamaccess.common.text import INVISIBLE

DRAWN_LETTER = re.compile(
    r"LATIN (?:CAPITAL |SMALL )?LETTER (?:SMALL CAPITAL|INSULAR|BLACKLETTER) ([A-Z]{1,2})"
    r"|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER ([A-Z])"
    r"|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"
)
"""Unicode's names of Latin letters in another drawing, such as LATIN LETTER SMALL CAPITAL A. The tables
of UTS 39 relate most of them to no letter, and NFKC leaves them as they are."""


def find_lookalike(name: str, others: Iterable[str]) -> str | None:
    """Return the first of the other names that looks like this one, or None."""
    forms = _forms(name)
    return next((other for other in others if not forms.isdisjoint(_forms(other))), None)


def load_lookalikes() -> None:
    """Read the table of characters, which takes a tenth of a second. A server does it at its start."""
    _prototypes()


def _forms(name: str) -> frozenset[str]:
    """Return the forms of a name. Names that look alike share at least one form.

    `BiIling` with a capital I looks like `Billing` as it is, `SUPPORT` like `Support` in small letters,
    and `ADMIN` in Cyrillic letters like `Admin` in capitals.
    """
    text = INVISIBLE.sub("", "".join(unicodedata.normalize("NFKC", name).split()))
    cases = (text, text.casefold(), text.upper())
    return frozenset(_skeleton(each).casefold() for each in cases)


def _skeleton(text: str) -> str:
    """Return the text with each character replaced by the prototype of those that look like it."""
    prototypes = _prototypes()
    decomposed = unicodedata.normalize("NFD", text)
    replaced = "".join(prototypes.get(character, character) for character in decomposed)
    return unicodedata.normalize("NFC", replaced)


@cache
def _prototypes() -> dict[str, str]:
    """Return the prototype of each character that has one, such as the Latin for the Cyrillic letter."""
    from confusable_homoglyphs.confusables import confusables_data  # slow, and few commands need it

    alike = {
        character: {other["c"].strip("\u200e") for other in others} - {character}
        for character, others in confusables_data.items()
    }

    def weight(text: str) -> tuple[int, int, str]:
        """Each character names its prototype alone, and a prototype names all of them."""
        return len(alike.get(text, ())), len(text), text

    prototypes = {
        character: prototype
        for character, others in alike.items()
        if len(character) == 1 and others
        if (prototype := max((character, *others), key=weight)) != character
    }
    letters = {
        drawn: "".join(prototypes.get(letter, letter) for letter in letters)
        for drawn, letters in _drawn_letters()
    }
    # a drawn letter may be a prototype, or have one: all that look like it look like the letter
    classes = {prototypes.get(drawn, drawn): letter for drawn, letter in letters.items()}
    merged = {character: classes.get(each, each) for character, each in prototypes.items()}
    return {**merged, **classes, **letters}


def _drawn_letters() -> Iterator[tuple[str, str]]:
    """Yield each Latin letter in another drawing, and the small letters that it stands for."""
    for character in map(chr, range(0x250, 0x20000)):
        if match := DRAWN_LETTER.fullmatch(unicodedata.name(character, "")):
            yield character, "".join(filter(None, match.groups())).lower()
