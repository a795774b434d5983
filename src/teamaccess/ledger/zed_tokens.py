"""Recognize a ZedToken, SpiceDB's name of a revision."""

import base64

LENGTH_DELIMITED = 2
"""The type of a Protocol Buffers field that contains a message."""
CONTINUES = 0x80


def is_zed_token(text: str | None) -> bool:
    """Return whether SpiceDB could have returned the text: a message of one field, in base64.

    The content is SpiceDB's own. SpiceDB may still refuse the token, for example after it was replaced.
    """
    try:
        message = base64.b64decode(text or "", validate=True)
    except ValueError:  # not base64, or not ASCII
        return False
    if len(message) < 2 or message[0] & 7 != LENGTH_DELIMITED:
        return False
    length, shift, start = 0, 0, 1
    for byte in message[1:6]:
        length |= (byte & ~CONTINUES) << shift
        shift, start = shift + 7, start + 1
        if not byte & CONTINUES:
            return len(message) - start == length
    return False


def zed_token_or_none(text: str | None) -> str | None:
    """Return the text if it is a ZedToken, or else None. Without a token, checks are fully consistent.

    SECURITY: the application's database role can store any text, which must not stop a tenant.
    """
    return text if is_zed_token(text) else None
