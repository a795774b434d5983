"""A name in a mail never becomes a link, in any mail program."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.common.text import InvalidText, clean
from teamaccess.directory.mail import without_links
from tests.directory.mail.mail_programs import links_in

HOSTILE = [
    "Payment failed, sign in at https://evil.example/pay",
    "HTTPS://EVIL.EXAMPLE",
    "www.evil.example",
    "sign in at evil.com",
    "sign in at evil.io/now",
    "Booking.com",
    "acme.io",
    "help@evil.example",
    "mailto:help@evil.example",
    "tel:+18005550199",
    "Call +1 (800) 555-0199 now",
    "Call 0800 555 01 99",
    "\uff11\uff18\uff10\uff10 555 0199",
    "call 800\u2011555\u20110199",
    "evil\uff0eexample\uff0fpay",
    "evil\u3002example",
    "evil\uff61com",
    "evil\u2024com",
    "evil\ufe52com",
    "help\uff20evil\uff0ecom",
    "https\uff1a//evil.com",
    "xn--bcher-kva.example",
    "bücher.de",
    "例え.テスト",
    "evil\u2488\u2488",
    "\u33c2evil",
    "evil.\u200dexample",
    "evil\u200d.\u200dexample",
    "evil&#46;example",
    "evil&period;example",
    "//evil.example/pay",
    "\\\\evil.example\\share",
    "file:///etc/passwd",
    "192.168.0.1/login",
    "[sign in](https://evil.example)",
    "<https://evil.example>",
    ".example.com",
    "...evil.example",
    "a.b.c.d.e.f",
    "javascript:alert(1)",
    "skype:eve?call",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_looks_like_a_link_is_not_one_in_a_mail(name: str) -> None:
    assert links_in(name)
    assert links_in(without_links(name)) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("acme.io", "acme. io"),
        ("Booking.com", "Booking. com"),
        ("https://evil.example/pay", "https: / /evil. example/pay"),
        ("help@evil.example", "help@ evil. example"),
        ("Call 0800 555 01 99", "Call 0800…"),
        ("evil&#46;example", "evil& #46;example"),
    ],
)
def test_a_broken_link_stays_readable(name: str, shown: str) -> None:
    assert without_links(name) == shown


@pytest.mark.parametrize(
    "name",
    [
        "Acme",
        "Acme & Sons, Inc.",
        "AT&T",
        "Dr. No",
        "A/B Testing",
        "Größe & Söhne 株式会社 👩‍💻",
        "What? (No.) “Yes.”",
        "Class of 2026",
        "Ana Núñez-O'Brien",
    ],
)
def test_other_names_stay_as_they_are(name: str) -> None:
    assert without_links(name) == name


ALPHABET = string.ascii_lowercase[:4] + string.digits[:3] + ".:/@\\&#;-()+ \u3002\uff0e\u2024\u200d"


@given(st.text(alphabet=ALPHABET, min_size=1, max_size=30) | st.text(min_size=1, max_size=60))
def test_no_name_becomes_a_link(name: str) -> None:
    try:
        name = clean("name", name, 100)
    except InvalidText:
        return
    assert links_in(without_links(name)) == []
