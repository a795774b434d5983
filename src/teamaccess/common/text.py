"""Text that people type: which characters are accepted and how they are shown."""

import codecs
import re
import unicodedata

from teamaccess.common.errors import Invalid

MARKS = "\u061c\u200c\u200d\u200e\u200f"
"""Persian, Arabic and Hebrew names and composed emoji need these characters. They hide no text. Like a
letter of these scripts, they reorder only the punctuation next to them."""
FLAG = re.compile("(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)")
"""The flag of a part of a country, such as Scotland: a black flag, and its code in invisible tags."""
RESERVED = ((0x1F000, 0x1FFFD), (0x20000, 0x3FFFD))
"""The places of future emoji and ideographs. An older Python does not know them all."""
INVISIBLE = re.compile(
    "["
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2800\U00016fe4\U0001d159"
    "]"
)
"""Characters that show nothing. The first two lines are Unicode's Default_Ignorable_Code_Point, such as
joiners, marks of direction, fillers and variation selectors. The third has the blank Braille pattern, a
Khitan filler and the musical null notehead, which lack this property."""
MOST_MARKS = 30
LONGEST_DECOMPOSITION = 4
"""Characters that one character of NFC can stand for: a Greek letter with three marks, for example."""
LONGEST_NAME = 100
LONGEST_REASON = 1000


class InvalidText(Invalid):
    """A name or a reason is empty, too long, or has control characters."""

    message = "{field} must have 1 to {longest:character} and no control characters."


def clean(field: str, text: str, longest: int) -> str:
    """Return the text in NFC without surrounding space.

    Raises InvalidText if nothing is left, if the text is longer than `longest` characters, or if it has
    characters that could control a terminal, a log or a page.
    """
    if not is_composable(text, longest):
        raise InvalidText(field=field, longest=longest)
    text = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(text) <= longest or not is_plain(text):
        raise InvalidText(field=field, longest=longest)
    return text


def is_composable(text: str, longest: int) -> bool:
    """Return whether the text may have at most `longest` characters in NFC, and is normalized quickly.

    SECURITY: normalization takes quadratic time for a long run of combining marks. Unicode allows 30 in
    its Stream-Safe Text Format (UAX #15), which is enough for every language.
    """
    if len(text) > LONGEST_DECOMPOSITION * longest:
        return False
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > MOST_MARKS:
            return False
    return True


def is_plain(text: str) -> bool:
    """Whether people can see the text, and no character of it controls a terminal, a log or a page."""
    visible = any(unicodedata.category(c)[0] not in "MZ" for c in INVISIBLE.sub("", text))
    return visible and not any(map(_is_control_character, FLAG.sub("", text)))


def escape_controls(text: str) -> str:
    r"""Return the text with `\uXXXX` for each character that could control a terminal.

    SECURITY: use it for text that was not cleaned, such as a foreign relationship in SpiceDB or a user's
    name from another login. Line breaks stay. JSON stays JSON with the same meaning.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        part if FLAG.fullmatch(part) else "".join(map(_without_control, part))
        for part in FLAG.split(text)
    )


def _without_control(character: str) -> str:
    controls = character != "\n" and _is_control_character(character)
    return _escaped(character) if controls else character


ESCAPE = "teamaccess.escape"
r"""How a stream writes characters that its encoding lacks: as `\uXXXX`, so JSON keeps its meaning."""


def escape_unencodable(text: str, encoding: str) -> str:
    """Return the text as a stream with this encoding writes it, so that its width is known."""
    return text.encode(encoding, ESCAPE).decode(encoding)


def _escape_error(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


codecs.register_error(ESCAPE, _escape_error)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _is_control_character(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cn":
        return not any(first <= ord(character) <= last for first, last in RESERVED)
    return category in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and character not in MARKS
