"""One spelling for every address, whatever people type."""

import string
from unicodedata import normalize

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from teamaccess.directory.users.addresses import InvalidEmail, invitee, normalize_email

ATOM = string.ascii_letters + string.digits + "!#$%&'*+-/^_`{|}~"
words = st.text(ATOM, min_size=1, max_size=20)
locals_ = st.lists(words, min_size=1, max_size=3).map(".".join)
labels = st.from_regex(r"[a-zA-Z]([a-zA-Z0-9]{0,10}[a-zA-Z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=2, max_size=4).map(".".join)


@given(locals_, domains)
def test_an_ordinary_address_changes_only_its_case(local: str, domain: str) -> None:
    assume(not any(label.lower().startswith("xn--") for label in domain.split(".")))
    assert normalize_email(f"{local}@{domain}") == f"{local}@{domain}".lower()


@given(locals_, domains, st.sampled_from(["", " ", "\t", "\n", "\u00a0"]))
def test_surrounding_space_and_a_trailing_dot_do_not_make_another_address(
    local: str, domain: str, space: str
) -> None:
    plain = normalize_email(f"{local}@{domain}")
    assert normalize_email(f"{space}{local}@{domain}{space}") == plain
    assert normalize_email(f"{local}@{domain}.") == plain
    assert normalize_email(f"{local}@{domain}".upper()) == plain


@given(st.text(max_size=300) | st.builds("{}@{}".format, st.text(), st.text()))
@example("\ud800@example.com")
@example("a@\ud800.com")
@example("a@xn--\u0301.com")
@example("a@" + "\u0e33" * 200)
def test_any_input_is_refused_or_has_one_canonical_spelling(typed: str) -> None:
    try:
        address = normalize_email(typed)
    except InvalidEmail:
        return
    assert normalize_email(address) == address
    local, _, domain = address.rpartition("@")
    assert local
    assert domain.isascii()
    assert domain == domain.lower()
    assert len(address.encode()) <= 254


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=15), domains)
def test_composed_and_decomposed_letters_are_the_same(local: str, domain: str) -> None:
    spellings = set()
    for form in ("NFC", "NFD"):
        try:
            spellings.add(normalize_email(normalize(form, f"{local}@{domain}")))
        except InvalidEmail:
            spellings.add("refused")
    assert len(spellings) == 1


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Bob@Example.COM", "bob@example.com"),
        ("bob@Bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@faß.example", "bob@xn--fa-hia.example"),
        ("BOB@\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25\uff0ecom", "bob@example.com"),
        ("ÉVA@example.com", "éva@example.com"),
        ("Ünal@example.com", "ünal@example.com"),
        ("U\u0308NAL@example.com", "ünal@example.com"),
        ("ΝΊΚΟΣ@example.com", "νίκος@example.com"),
        ("STRAẞE@example.com", "straße@example.com"),
        ("a.b+c@example.com", "a.b+c@example.com"),
        ("\u212aelvin@example.com", "kelvin@example.com"),
    ],
)
def test_case_does_not_matter_and_domains_are_idna(typed: str, kept: str) -> None:
    assert normalize_email(typed) == kept


@given(st.binary(min_size=16, max_size=32), locals_, locals_)
def test_an_invitee_id_is_64_hex_digits_and_differs_for_each_address(
    key: bytes, one: str, other: str
) -> None:
    assume(one.lower() != other.lower())
    hashes = [invitee(key, normalize_email(f"{local}@example.com")) for local in (one, other)]
    assert all(len(each) == 64 and set(each) <= set("0123456789abcdef") for each in hashes)
    assert hashes[0] != hashes[1]
    assert invitee(key + b"x", normalize_email(f"{one}@example.com")) != hashes[0]


@pytest.mark.parametrize(
    "typed",
    [
        "a@" + "\u0661" * 62 + ".\u0645",  # digits that are compared with their whole label
        "a@" + "\u30fb" * 62 + ".example",
        "a@" + "\u4e00" * 64 + ".example",  # a label that no encoding shortens
        "a@" + "\u4e00." * 150,
        "a@" + "\u4e00\u3002" * 150,
        "a" + "\u0301" * 31 + "@x.example",
        "\u0301" * 5000,
    ],
)
def test_what_takes_long_to_encode_is_refused_before(
    typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idna.encode", lambda *_, **__: pytest.fail("it was encoded"))
    with pytest.raises(InvalidEmail):
        normalize_email(typed)


@pytest.mark.parametrize(
    ("typed", "domain"),
    [
        ("a@b\u00fccher.example", "xn--bcher-kva.example"),
        ("a@\u0645\u0661\u0662\u0663.\u0645\u0635\u0631", "xn--hhb0dde.xn--wgbh1c"),
        ("a@\u682a\u5f0f\u4f1a\u793e\uff0eexample", "xn--6oqv20b1zgzxr.example"),
    ],
)
def test_ordinary_domains_of_other_scripts_are_encoded(typed: str, domain: str) -> None:
    assert normalize_email(typed).rpartition("@")[2] == domain
