"""What mail programs make links of."""

import re
import unicodedata

from linkify_it import LinkifyIt  # type: ignore[import-untyped]
from phonenumbers import Leniency, PhoneNumberMatcher

LINKER = LinkifyIt(options={"fuzzy_link": True, "fuzzy_email": True, "fuzzy_ip": True})
LINKER.tlds(r"[^\W\d_]{2,}", keep_old=True)
"""Takes every word for a top-level domain: mail programs have lists, and new domains appear."""

RULES = {
    "a scheme": r"[A-Za-z][A-Za-z0-9+.-]*:[\u200c\u200d]*\w",
    "a bare domain": r"[^\s.]\.[\u200c\u200d]*\w",
    "an e-mail address": r"\S@[\u200c\u200d]*\w",
    "a network path": r"[/\\]{2}",
    "an HTML entity": r"&(#|[A-Za-z]{2,20};)",
}
"""What mail programs look for, each by a rule that is wider than theirs. They are applied to the text in
NFKC, in which full-width dots are dots."""
REGIONS = ("US", "GB", "DE", "CL", "JP", "IN")
FEWEST_DIGITS = 5
"""Android makes a link of every possible telephone number with at least this many digits."""


def links_in(text: str) -> list[str]:
    """What one of the programs would make a link of."""
    plain = unicodedata.normalize("NFKC", text).replace("\u3002", ".")
    found = [
        f"{kind}: {match[0]}" for kind, rule in RULES.items() for match in re.finditer(rule, plain)
    ]
    for each in (text, plain):
        found += [f"linkify-it: {match.url}" for match in LINKER.match(each) or []]
        for region in REGIONS:
            numbers = PhoneNumberMatcher(each, region, leniency=Leniency.POSSIBLE)
            found += [
                f"telephone: {match.raw_string}"
                for match in numbers
                if sum(map(str.isdigit, match.raw_string)) >= FEWEST_DIGITS
            ]
    return found
