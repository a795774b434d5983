"""One spelling for every e-mail address."""

import hashlib
import hmac
import unicodedata

import idna

from teamaccess.common.errors import Invalid

LONGEST = 254
"""RFC 5321 section 4.5.3.1.3, without the angle brackets."""
LONGEST_LOCAL_PART = 64
"""RFC 5321 section 4.5.3.1.1, in octets."""


class InvalidEmail(Invalid):
    """The text is not an address that mail can be sent to."""

    message = "{email!r} is not a valid e-mail address."


def normalize_email(email: str) -> str:
    """Return the address in NFC and in lower case, its domain in IDNA's ASCII form.

    Plus tags and dots are kept: they are the mail provider's business. Raises InvalidEmail.
    """
    local, at, domain = unicodedata.normalize("NFC", email.strip()).rpartition("@")
    local = lower(local)
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


def _unmailable(character: str) -> bool:
    # RFC 5321 allows quoted local parts, but no invited person's mailbox has one
    return character in '@"(),:;<>[\\]' or unicodedata.category(character)[0] in "CZ"
