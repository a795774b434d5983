"""Find names that people mistake for each other: other case, other spaces, characters that look alike.

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

DRAWN_LETTER = re.compile(
    r"LATIN (?:CAPITAL |SMALL )?LETTER (?:SMALL CAPITAL|INSULAR|BLACKLETTER) ([A-Z]{1,2})"
    r"|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER ([A-Z])"
    r"|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"
)
"""Unicode's names of Latin letters in another drawing, such as LATIN LETTER SMALL CAPITAL A. The tables
of UTS 39 relate most of them to no letter, and NFKC leaves them as they are."""


LONGEST_WRITTEN_OUT = 300
"""The longest name with its characters written out, which is three times as long as a name may be. One
character may stand for 18 others, and each of them takes time to compare."""
MOST_REMEMBERED = 20_000
"""Names whose forms one process remembers, in about a kilobyte each."""
AT_ONCE = 25
"""Names that are compared before other requests get a turn."""


class WrittenOutTooLong(Invalid):
    """The name has characters that stand for many others, and is too long with these."""

    message = (
        "The name has {length:character} when each of its characters is written out, for example "
        "\ufdfa with 18. At most {longest} are allowed. Choose a shorter name."
    )


async def find_lookalike_among(name: str, others: Iterable[str]) -> str | None:
    """Return the first of very many other names that looks like this one, or None.

    SECURITY: the names of one tenant must not occupy the process, so a name is folded once and
    remembered, and other requests get turns. Raises WrittenOutTooLong.
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
