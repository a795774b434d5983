"""The page of error codes lists every code that the product has, with its status."""

import re
from pathlib import Path

from teamaccess.api.problems import CODES, STATUS
from teamaccess.api.server.refusals import ConnectionRefusal
from teamaccess.common import errors
from tests.support.errors import product_errors

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
WITHOUT_CLASS = {
    **{code: str(status) for status, code in CODES.items()},
    "refused": "4xx",
    "database_busy": "503",
    "database_unavailable": "503",
    "internal_error": "500",
    "system_error": "",  # the operating system refused a command something
}
"""Codes that do not come from an exception class of this project."""
HTTP_ROW = re.compile(r"^\| `(\w+)` \| (\dxx|\d{3}) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
COMMAND_ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", re.MULTILINE)


def test_every_code_has_one_row_with_its_status() -> None:
    http, _, command = PAGE.read_text(encoding="utf-8").partition("## Only from the command line")
    answered = HTTP_ROW.findall(http.partition("## Requests")[2])
    printed = COMMAND_ROW.findall(command)
    codes = [code for code, _ in answered] + printed
    assert sorted(codes) == sorted(set(codes))
    assert set(codes) == statuses().keys() | WITHOUT_CLASS.keys()
    expected = statuses() | WITHOUT_CLASS
    assert dict(answered) == {code: expected[code] for code, _ in answered}


def statuses() -> dict[str, str]:
    """Return the HTTP status of every code. Errors of commands have the status of their base class."""
    return {each.code: status_of(each) for each in product_errors()}


def status_of(error: type[errors.TeamaccessError]) -> str:
    if issubclass(error, ConnectionRefusal):
        return str(error.status.value)
    return str(next((STATUS[family] for family in error.__mro__ if family in STATUS), ""))
