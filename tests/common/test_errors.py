"""Every error class has a message in plain English, and each place that raises it gives its facts."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import teamaccess
from teamaccess.access.authorize import EndTooFar
from teamaccess.common.errors import SENTENCES, Conflict, TeamaccessError
from teamaccess.directory.access_requests.ask import TooManyOpenRequests
from teamaccess.directory.roles.remove import RoleInUse
from tests.support.errors import FAMILIES, product_errors

ERRORS = {each.__name__: each for each in product_errors()}
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"

BANNED = [
    r"(?<![Tt]here )\b(?:is|are|was) no\b(?! longer)",  # "is not a"; "There is no" is fine
    r"(?i)\b(?:whom|whoever|whatever is)\b",  # name the person: the caller, the inviter
    r"(?i)(?:^|[.,:;] |\band |\bor )(?:who|what|nobody)\b",
    r"\bis told\b",
    r"\bas if\b",
    r"\b(?:anew|besides|meanwhile|hindered|mended|mend)\b",
    r"\bthere (?:is|are) none\b",
    r", for (?:it|they|he|she|nobody)\b",  # "because"
]
"""Forms that a reader has to read twice."""


def placeholders(message: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(message) if name is not None}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_has_a_message_of_its_own_and_a_docstring(error: type[TeamaccessError]) -> None:
    assert "message" in vars(error)
    assert error.__doc__
    assert not placeholders(error.__doc__)
    assert error.__doc__.split("\n")[0] != error.message
    assert re.search(r"[.}]$", error.message)
    assert "  " not in error.message


@pytest.mark.parametrize(
    "error", [*ERRORS.values(), *sorted(FAMILIES, key=str)], ids=lambda error: error.__name__
)
def test_an_error_is_written_in_plain_english(error: type[TeamaccessError]) -> None:
    for text in (error.message, error.__doc__ or ""):
        assert not [each for each in BANNED if re.search(each, text)], text


def test_the_page_of_error_codes_is_written_in_plain_english() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines for each in BANNED if re.search(each, line)]


def test_each_place_that_raises_an_error_gives_the_facts_of_its_message() -> None:
    raised = set()
    for where, name, facts in raise_sites():
        raised.add(name)
        missing = placeholders(ERRORS[name].message) - facts
        assert not missing, f"{where} raises {name} without {missing}"
        message = SENTENCES.format(ERRORS[name].message, **dict.fromkeys(facts, 2))
        assert "{" not in message
    assert raised == set(ERRORS)


def raise_sites() -> Iterator[tuple[str, str, set[str]]]:
    """Yield each place that makes an error: the file with the line, the class, the facts."""
    for file in sorted(Path(teamaccess.__path__[0]).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in ERRORS:
                    yield f"{file}:{node.lineno}", name, facts_of(name, node)
                case ast.Call(args=[*_, ast.Name(id=name)], keywords=[_, *_]) if name in ERRORS:
                    # the called function raises it, with the facts that it was given
                    yield f"{file}:{node.lineno}", name, named(node)
                case ast.Raise(exc=ast.Name(id=name) | ast.Attribute(attr=name)) if name in ERRORS:
                    yield f"{file}:{node.lineno}", name, set()


def facts_of(name: str, call: ast.Call) -> set[str]:
    """Return the facts of a call. A call that unpacks facts, or passes them in order, gives them all."""
    if call.args or any(each.arg is None for each in call.keywords):
        return placeholders(ERRORS[name].message)
    return named(call)


def named(call: ast.Call) -> set[str]:
    """Return the names of the arguments that are given by name."""
    return {each.arg for each in call.keywords if each.arg is not None}


def test_a_code_is_the_name_of_the_class_unless_the_class_sets_one() -> None:
    class NobodyIsHere(Conflict):
        """A class whose name is its code."""

    class SomebodyElse(NobodyIsHere):
        """A class that sets its code."""

        code = "somebody"

    class ThirdParty(SomebodyElse):
        """A class whose base sets a code."""

    assert [each.code for each in (NobodyIsHere, SomebodyElse, ThirdParty)] == [
        "nobody_is_here",
        "somebody",
        "third_party",
    ]
    assert SomebodyElse().code == "somebody"


class TooLate(Conflict):
    """For the test of plurals."""

    message = "{days:day}, {open:open access request}, {day} has {days} and {listed}."


def test_a_message_has_the_plural_of_its_numbers() -> None:
    late = TooLate(days=1, open=2, day=1, listed=["a"])
    assert str(late) == "1 day, 2 open access requests, 1 has 1 and a."
    assert late.facts["days"] == 1
    late = TooLate(days=0, open=1, day="x", listed=[])
    assert str(late) == "0 days, 1 open access request, x has 0 and ."


def test_messages_name_one_of_each_in_the_singular() -> None:
    facts = dict.fromkeys(placeholders(RoleInUse.message), 1)
    assert "by 1 member, 1 team, 1 invitation and 1 access request." in str(RoleInUse(**facts))
    assert "1 open access request in" in str(
        TooManyOpenRequests(user="a", organization="b", open=1)
    )
    assert "at most 1 day ahead" in str(EndTooFar(days=1, until="2030"))
