"""Read the CSV file of a member import, and report every mistake with its line."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from teamaccess.access.giving import OperatorOnlyRole
from teamaccess.access.holdings import RoleSet
from teamaccess.catalog import Catalog
from teamaccess.common.errors import Invalid, TeamaccessError
from teamaccess.common.text import LONGEST_NAME, clean, pluralize
from teamaccess.directory.members.imports import Newcomer
from teamaccess.directory.users.addresses import normalise
from teamaccess.storage import RoleId

COLUMNS = ["email", "name", "role"]
MOST_PRINTED = 20
"""How many mistakes are printed. The JSON answer lists up to MOST_KEPT."""
MOST_KEPT = 1000

Row = dict[str | None, str]


class TooManyFields(Invalid):
    """A row of an import has more fields than the file has columns."""

    message = "The row has more fields than the file has columns."


class InvalidFile(Invalid):
    """A file of members has mistakes, so none of its rows is imported.

    `detail` has a line for each mistake.
    """

    message = "Nothing was imported: {file} has {count}."
    most_listed = MOST_KEPT

    @property
    def detail(self) -> str:
        """The sentence, and a line for each mistake."""
        mistakes = list(self.facts["mistakes"])
        rest = len(mistakes) - MOST_PRINTED + int(self.facts.get("mistakes_left_out", 0))
        more = [f"and {rest} more"] if rest > 0 else []
        return "\n".join([super().detail, *mistakes[:MOST_PRINTED], *more])


def read_members(file: Path, catalog: Catalog) -> list[Newcomer]:
    """Return everybody in the file. Raises InvalidFile, which lists every mistake with its line."""
    newcomers: dict[str, Newcomer] = {}
    mistakes: list[str] = []
    for line, row in _rows(file):
        try:
            newcomer = _newcomer(row, catalog)
        except TeamaccessError as mistake:
            mistakes.append(f"line {line}: {mistake.detail}")
            continue
        if newcomers.setdefault(newcomer.email, newcomer) is not newcomer:
            mistakes.append(f"line {line}: {newcomer.email} is there twice.")
    if mistakes:
        raise _invalid(file, mistakes)
    return list(newcomers.values())


def _rows(file: Path) -> Iterator[tuple[int, Row]]:
    """Check the heading, and yield each row with the number of its last line."""
    table = csv.DictReader(StringIO(_text(file), newline=""), strict=True)
    try:
        if sorted(table.fieldnames or ()) != sorted(COLUMNS):
            raise _invalid(
                file, [f"line 1: the columns must be {', '.join(COLUMNS)}, in any order."]
            )
        for row in table:
            yield table.line_num, row
    except csv.Error as broken:
        raise _invalid(file, [f"line {table.reader.line_num}: {broken}."]) from None


def _text(file: Path) -> str:
    whole = file.read_bytes()
    try:
        return whole.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = whole.count(b"\n", 0, broken.start) + 1
        raise _invalid(file, [f"line {line}: this is not UTF-8. Save the file as UTF-8."]) from None


def _newcomer(row: Row, catalog: Catalog) -> Newcomer:
    """Return the person of a row. In a row with fewer fields, the last ones are empty."""
    if None in row:
        raise TooManyFields
    email, name, role = ((row[column] or "").strip() for column in COLUMNS)
    predefined = RoleSet(catalog, {})
    predefined.refuse_unknown([RoleId(role)])
    if predefined.operators_grant(RoleId(role)):
        raise OperatorOnlyRole(role=role)
    return Newcomer(
        normalise(email), clean("name", name, LONGEST_NAME) if name else None, RoleId(role)
    )


def _invalid(file: Path, mistakes: list[str]) -> InvalidFile:
    return InvalidFile(file=file, count=pluralize(len(mistakes), "mistake"), mistakes=mistakes)
