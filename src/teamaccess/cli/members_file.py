"""The file of an import of members: read as a whole, with every mistake at its line."""

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
MOST_TOLD = 20
"""Lines on a screen; the facts have more of them."""
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
        rest = len(mistakes) - MOST_TOLD + int(self.facts.get("mistakes_left_out", 0))
        more = [f"and {rest} more"] if rest > 0 else []
        return "\n".join([super().detail, *mistakes[:MOST_TOLD], *more])


def read_members_file(file: Path, catalog: Catalog) -> list[Newcomer]:
    """Return everybody in the file; raises InvalidFile with every mistake at its line."""
    found: dict[str, Newcomer] = {}
    mistakes: list[str] = []
    for line, row in _rows(file):
        try:
            newcomer = _newcomer(row, catalog)
        except TeamaccessError as mistake:
            mistakes.append(f"line {line}: {mistake.detail}")
            continue
        if found.setdefault(newcomer.email, newcomer) is not newcomer:
            mistakes.append(f"line {line}: {newcomer.email} is there twice.")
    if mistakes:
        raise _invalid(file, mistakes)
    return list(found.values())


def _rows(file: Path) -> Iterator[tuple[int, Row]]:
    """Yield each row with its last line, once it is clear which column is what."""
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
        raise _invalid(file, [f"line {line}: this is not UTF-8; save the file as that."]) from None


def _newcomer(row: Row, catalog: Catalog) -> Newcomer:
    """Return whom a row means; a row of fewer fields lacks the last ones."""
    if None in row:
        raise TooManyFields
    email, name, role = ((row[column] or "").strip() for column in COLUMNS)
    known = RoleSet(catalog, {})
    known.refuse_unknown([RoleId(role)])
    if known.operators_grant(RoleId(role)):
        raise OperatorOnlyRole(role=role)
    return Newcomer(
        normalise(email), clean("name", name, LONGEST_NAME) if name else None, RoleId(role)
    )


def _invalid(file: Path, mistakes: list[str]) -> InvalidFile:
    return InvalidFile(file=file, count=pluralize(len(mistakes), "mistake"), mistakes=mistakes)
