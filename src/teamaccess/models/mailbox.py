"""Which addresses reach the same person."""

import re

TAG = "^([^+@]+)[+][^@]*@"
DOT_AT_GMAIL = "[.](?=[^@]*@(gmail|googlemail)[.]com$)"
OTHER_NAME_OF_GMAIL = "@googlemail[.]com$"
TAGGED = "email ~ '[+]|@(gmail|googlemail)[.]com$'"
"""In SQL: whether an address may be another spelling of a mailbox."""
IN_SQL = (
    f"regexp_replace(regexp_replace(regexp_replace({{email}}, '{TAG}', '\\1@'),"
    f" '{DOT_AT_GMAIL}', '', 'g'), '{OTHER_NAME_OF_GMAIL}', '@gmail.com')"
)
"""In SQL: the mailbox of an address. Indexes are on this very text."""


def mailbox(address: str) -> str:
    """Return a normalised address without its +tag; at Gmail also without dots, which it ignores.

    Only for comparing: mails go to the address as it was given. Other providers that ignore dots are not
    known here; to them each spelling is a mailbox of its own.
    """
    box = re.sub(TAG, r"\1@", address)
    box = re.sub(DOT_AT_GMAIL, "", box)
    return re.sub(OTHER_NAME_OF_GMAIL, "@gmail.com", box)
