"""Which names people take for each other, and which they can tell apart."""

import sys
import unicodedata

import pytest

from teamaccess.common.lookalikes import find_lookalike
from teamaccess.common.text import INVISIBLE, clean

NAMES = ["Administrator", "Payments"]
FILLERS = "\u3164\u2800\u034f\u061c\u115f\uffa0\u1160\u180b\u17b4"
MORE_FILLERS = "\u17b5\u180f\u2065\U00016fe4\U0001d159\U000e0042\U000e01ef\u200c\ufe0f\u00ad\ufeff"


@pytest.mark.parametrize("filler", [*FILLERS, *MORE_FILLERS], ids=ascii)
def test_an_invisible_character_does_not_make_a_different_name(filler: str) -> None:
    for name in NAMES:
        for at in (0, 3, len(name)):
            assert find_lookalike(name[:at] + filler + name[at:], NAMES) == name


def test_every_format_character_counts_as_invisible() -> None:
    # people see ARABIC NUMBER SIGN, marks of annotation and those of hieroglyphs
    seen = ("ARABIC", "SYRIAC", "KAITHI", "INTERLINEAR", "EGYPTIAN")
    for character in map(chr, range(sys.maxunicode + 1)):
        named = unicodedata.name(character, "").startswith(seen)
        if unicodedata.category(character) == "Cf" and not named:
            assert INVISIBLE.fullmatch(character), ascii(character)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("\u1d00dministrator", "Administrator"),  # a small capital
        (
            "\u1d00\u1d05\u1d0d\u026a\u0274\u026as\u1d1b\u0280\u1d00\u1d1b\u1d0f\u0280",
            "Administrator",
        ),
        ("\u1d18\u1d00\u028f\u1d0d\u1d07\u0274\u1d1bs", "Payments"),
        ("Payment\ua731", "Payments"),
        ("\U0001f150dministrator", "Administrator"),  # a letter in a black circle
        ("\U0001f170\ufe0fdministrator", "Administrator"),  # in a black square
        ("\U0001f1e6dministrator", "Administrator"),  # half a flag
        ("Administ\ua783ator", "Administrator"),  # insular
        ("\u13aadministrator", "Administrator"),  # Cherokee
        ("Admi\u0307nistrator", "Administrator"),  # a dot above an i
        ("Adm\u0131\u0307nistrator", "Administrator"),  # above an i without a dot
        ("Adm\u0456\u0307nistrator", "Administrator"),  # above a Cyrillic one
        ("\uab7administrator", "Administrator"),  # a small Cherokee letter like the small capital
    ],
)
def test_a_variant_of_a_letter_does_not_make_a_different_name(name: str, taken: str) -> None:
    assert find_lookalike(name, NAMES) == taken


@pytest.mark.parametrize(
    "names",
    [
        ("Платежи", "Поддержка", "Тест", "Оплата", "Отчёты"),
        ("Πληρωμές", "Υποστήριξη", "Πωλήσεις"),
        ("支付", "支払い", "サポート", "サポーター", "株式会社"),
        ("결제", "결재", "지원", "관리자"),
        ("مدفوعات", "پشتیبانی", "دعم"),
        ("תשלומים", "תמיכה"),
        ("ᠲᠥᠯᠪᠦᠷᠢ\u180bᠲᠠᠢ", "ᠮᠣᠩᠭᠤᠯ"),
        ("ការទូទាត់", "ជំនួយ"),
        ("भुगतान", "सहायता"),
        ("ᏣᎳᎩ", "ᏍᎦᏚᎩ"),
        ("\u2764\ufe0f", "\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3ff", "\U0001f389"),
        ("Ops \U0001f1e9\U0001f1ea", "Ops \U0001f1eb\U0001f1f7", "Ops \U0001f680", "Ops"),
        ("Zahlungen", "Zahlung", "Ünal", "Unal", "Señal", "Senal"),
    ],
    ids=ascii,
)
def test_names_in_every_script_and_emoji_stay_apart(names: tuple[str, ...]) -> None:
    for name in names:
        assert clean("name", name, 100) == unicodedata.normalize("NFC", name)
        others = [*NAMES, *(other for other in names if other != name)]
        assert find_lookalike(name, others) is None, name
