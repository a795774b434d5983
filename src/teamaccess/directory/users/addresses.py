"""One spelling for every e-mail address."""

import hashlib
import hmac
import re
import unicodedata

import idna

from teamaccess.common.errors import Invalid
from teamaccess.common.text import is_composable

LONGEST = 254
"""RFC 5321 section 4.5.3.1.3, without the angle brackets."""
LONGEST_LOCAL_PART = 64
"""RFC 5321 section 4.5.3.1.1, in octets."""

LONGEST_DOMAIN = 253
LONGEST_LABEL = 63
"""RFC 1035 section 2.3.4, in octets. In Unicode both have fewer characters."""
DOTS = re.compile("[.\u3002\uff0e\uff61]")
"""What IDNA takes for a dot (RFC 3490 section 3.1)."""
IN_CONTEXT = re.compile("[\u00b7\u0375\u05f3\u05f4\u0660-\u0669\u06f0-\u06f9\u200c\u200d\u30fb]")
"""Characters that IDNA allows only beside certain others (RFC 5892, appendix A)."""
MOST_IN_CONTEXT = 16


class InvalidEmail(Invalid):
    """The text is not an address that mail can be sent to."""

    message = "{email!r} is not a valid e-mail address."


def normalize_email(email: str) -> str:
    """Return the address in NFC and in lower case, its domain in IDNA's ASCII form.

    Plus tags and dots are kept: they are the mail provider's business. Raises InvalidEmail.
    """
    if not is_composable(email, LONGEST):
        raise InvalidEmail(email=email)
    local, at, domain = unicodedata.normalize("NFC", email.strip()).rpartition("@")
    local = lower(local)
    if not _is_encodable(domain):
        raise InvalidEmail(email=email)
    try:
        domain = idna.encode(domain, uts46=True).decode("ascii").lower().rstrip(".")
    except UnicodeError:  # the errors of `idna` are of this class
        raise InvalidEmail(email=email) from None
    address = f"{local}@{domain}"
    plausible = (
        at
        and not any(_unmailable(character) for character in local)
        and 0 < len(local.encode()) <= LONGEST_LOCAL_PART
        and len(address.encode()) <= LONGEST
        and "." in domain
        and not local.startswith(".")
        and not local.endswith(".")
        and ".." not in local
        and "=?" not in local  # mail programs would decode what follows into another address
    )
    if not plausible:
        raise InvalidEmail(email=email)
    return address


def invitee(key: bytes, address: str) -> str:
    """Return the keyed hash, 64 hex digits, by which SpiceDB knows a normalized address."""
    return hmac.new(key, address.encode(), hashlib.sha256).hexdigest()


def lower(local: str) -> str:
    """Return the part before the @ in NFC and in lower case, so that `Ünal` and `ünal` are one person."""
    # a capital may become several characters, which NFC then composes
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())


def _is_encodable(domain: str) -> bool:
    """Return whether IDNA can encode the domain quickly.

    SECURITY: `idna` compares some characters with all others of their label, so it takes quadratic time
    for them. It is called for everything that may be an address, before a caller is authorized.
    """
    return len(domain) <= LONGEST_DOMAIN and all(
        len(label) <= LONGEST_LABEL and len(IN_CONTEXT.findall(label)) <= MOST_IN_CONTEXT
        for label in DOTS.split(domain)
    )


def _unmailable(character: str) -> bool:
    # RFC 5321 allows quoted local parts, but no invited person's mailbox has one
    return character in '@"(),:;<>[\\]' or unicodedata.category(character)[0] in "CZ"
