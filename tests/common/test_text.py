"""Which characters names may have, and how a terminal shows the others."""

import pytest

from teamaccess.common.text import InvalidText, clean, escape_controls

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"


@pytest.mark.parametrize(
    "name",
    [
        f"Team {SCOTLAND}",
        WALES,
        "\U0001fae9 tired",  # of Unicode 16
        "\U0001faea\U0001facd",  # of Unicode 17
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",  # a family, joined
        "\u05d0\u05d1\u200f!",  # a Hebrew name with a mark of direction
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
        "\u061c\u0645 (1)",  # an Arabic letter mark
        "株式会社",
        "\U00030000\U000323b0",  # ideographs of Unicode 13 and later
        "e\u0301",
        "\u2764\ufe0f",
    ],
)
def test_a_name_may_have_every_character_of_peoples_names_and_emoji(name: str) -> None:
    cleaned = clean("name", name, 100)
    assert escape_controls(cleaned) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        *("a\u202ab", "a\u202bb", "a\u202cb", "a\u202db", "a\u202eb"),  # embeddings and overrides
        *("a\u2066b", "a\u2067b", "a\u2068b", "a\u2069b"),  # isolates
        *("a\x00b", "a\x1b[31mb", "a\x7fb", "a\x85b", "a\nb", "a\u2028b", "a\u2029b"),
        *("a\u200bb", "a\u2060b", "a\ufeffb", "a\u00adb"),  # invisible
        "\U000e0041\U000e0042",  # tags without a flag hide text
        "\U0001f3f4\U000e0067\U000e0062",  # a flag that does not end
        f"\U0001f3f4{SCOTLAND[1:-1] * 5}\U000e007f",  # a flag with a long hidden text
        "a\ud800",
        "a\ue000",  # private use
        "a\u0378",  # not assigned, and not a place of emoji
    ],
)
def test_a_character_that_hides_or_controls_is_refused_and_escaped(text: str) -> None:
    with pytest.raises(InvalidText):
        clean("name", text, 100)
    shown = escape_controls(text.replace("\n", "\r"))
    assert "\\u" in shown


@pytest.mark.parametrize(
    "blank", ["", " ", "\u200f", "\u200d\u200d", "\u3164", "\ufe0f", "\u2800\u00a0"]
)
def test_a_name_that_nobody_can_see_is_refused(blank: str) -> None:
    with pytest.raises(InvalidText):
        clean("name", blank, 100)


def test_long_runs_of_marks_are_refused_before_they_are_composed() -> None:
    zalgo = "Z" + "\u0301" * 30
    assert clean("name", zalgo, 100)
    for text in (zalgo + "\u0301", "\u0301" * 5000, "a" * 401):
        with pytest.raises(InvalidText):
            clean("name", text, 100)
    assert clean("name", "\u03b1\u0313\u0301\u0345" * 100, 100) == "\u1f84" * 100
