"""Names in a mail, written so that no mail program makes a link of them.

SECURITY: customers choose the names of organizations, roles and people, and the mail is ours. Readers
would trust a link in it as ours. Mail programs make links of plain text, in the subject as well: of
addresses with a scheme, `www.`, bare domains, e-mail addresses, network paths and telephone numbers.
Their rules differ, and some ignore invisible characters. A visible space ends a link in all of them, and
leaves a name such as `acme.io` readable: `acme. io`.
"""

import re
import unicodedata

PARTS_OF_LINKS = frozenset(".:@")
"""What joins the parts of a domain, of an address or of a telephone link."""
SLASHES = frozenset("/\\")
OTHER_DOTS = frozenset("\u3002\uff61\u06d4\u0701\u0702")
"""Characters that NFKC does not fold to a dot, but that a domain may contain as one or that look
like one."""
CLOSING = frozenset(")]}\"'\u201d\u2019\u00bb,;!?")
"""What may follow a full stop without a space. No domain goes on after it."""
ENTITY = re.compile(r"&(?=#|[A-Za-z]{2,20};)")
"""The start of an HTML entity, which a program that shows a mail as a page may decode to a dot."""
LONG_NUMBER = re.compile(r"\d(?:[\W_xX\u30fc]*\d){4,}")
"""Five digits or more: Android makes links of them. Between them may stand the characters that programs
skip when they look for telephone numbers."""
DIGITS_KEPT = 4


def without_links(name: str) -> str:
    """Return the name with a space wherever a link could go on, and with long numbers cut short.

    `acme.io` becomes `acme. io`, and `call 0800 555 01 99` becomes `call 0800…`. Other names stay as they
    are.
    """
    name = LONG_NUMBER.sub(_cut_short, "".join(map(_written_out, name)))
    name = ENTITY.sub("& ", name)
    return "".join(_spaced(one, after) for one, after in zip(name, [*name[1:], ""], strict=True))


def _written_out(character: str) -> str:
    """Return the long form of a character that stands for several with a dot, such as "a.m."."""
    folded = _folded(character)
    return folded if len(folded) > 1 and PARTS_OF_LINKS & set(folded) else character


def _spaced(one: str, after: str) -> str:
    """Return a character, with a space behind it if it could join what follows to a link."""
    if not after or after.isspace():
        return one
    folded, next_folded = _folded(one)[-1], _folded(after)[0]
    goes_on = next_folded not in PARTS_OF_LINKS and after not in CLOSING
    joins = (folded in PARTS_OF_LINKS and goes_on) or (folded in SLASHES and next_folded in SLASHES)
    return f"{one} " if joins else one


def _folded(character: str) -> str:
    """Return what mail programs may read for a character: full-width dots, for example, are dots."""
    return "." if character in OTHER_DOTS else unicodedata.normalize("NFKC", character)


def _cut_short(number: re.Match[str]) -> str:
    """Return the first digits of a long number, with what stands between them."""
    digits = [at for at, character in enumerate(number[0]) if character.isdigit()]
    return f"{number[0][: digits[DIGITS_KEPT - 1] + 1]}…"
