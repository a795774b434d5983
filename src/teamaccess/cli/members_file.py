"""Read the CSV file of a member import, and report every mistake with its line, column and text."""

import csv
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from teamaccess.access.authorize import OperatorOnlyRole
from teamaccess.access.holdings import RoleSet
from teamaccess.common.errors import Invalid, TeamaccessError
from teamaccess.common.sentences.excerpts import LONGEST_QUOTED_NAME, excerpt
from teamaccess.common.sentences.plurals import pluralize
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.members.imports import Newcomer
from teamaccess.directory.users.addresses import normalize_email
from teamaccess.storage import RoleId

COLUMNS = ["email", "name", "role"]
DELIMITERS = ",;\t|"
"""Spreadsheets write a semicolon where the comma is the decimal sign, and a tab as "text"."""
DECLARED_DELIMITER = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""A first line that some spreadsheets write and read."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How files begin that a spreadsheet saved as "Unicode text"."""
MOST_PRINTED = 20
"""How many mistakes are printed. The JSON answer lists up to MOST_KEPT."""
MOST_KEPT = 1000


class TooManyFields(Invalid):
    """A row of an import has more fields than the file has columns."""

    message = "The row has more fields than the file has columns."


class EmptyField(Invalid):
    """A row of an import has nothing in a column that every row needs."""

    message = "Every row needs one."


class AmbiguousRole(Invalid):
    """Several roles have the name that a row of an import gives."""

    message = "Several roles have this name: {roles}. Write the id."


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


class Row(NamedTuple):
    """A row of the file, with the number of its last line."""

    line: int
    fields: dict[str, str]
    surplus: list[str]
    """The fields behind the last column that are not empty."""


def read_members(file: Path, roles: RoleSet) -> list[Newcomer]:
    """Return everybody in the file. Raises InvalidFile, which lists every mistake with its line.

    `roles` are all roles of the organization. A row names one by its id or its name.
    """
    newcomers: dict[str, Newcomer] = {}
    mistakes: list[str] = []
    for row in _rows(file):
        newcomer = _newcomer(row, roles, mistakes)
        if newcomer is not None and newcomers.setdefault(newcomer.email, newcomer) is not newcomer:
            mistakes.append(f"line {row.line}: column email: {newcomer.email} is there twice.")
    if mistakes:
        raise _invalid(file, mistakes)
    return list(newcomers.values())


def _rows(file: Path) -> Iterator[Row]:
    """Check the heading, and yield each row that is not empty."""
    text = _text(file)
    declared = DECLARED_DELIMITER.match(text)
    delimiter = declared[1] if declared else _delimiter(text)
    first = 2 if declared else 1
    table = csv.reader(
        StringIO(text[declared.end() :] if declared else text, newline=""),
        delimiter=delimiter,
        strict=True,
    )
    try:
        heading = next(table, [])
        columns = [name.strip().casefold() for name in heading]
        while columns and not columns[-1]:
            columns.pop()
        if sorted(columns) != sorted(COLUMNS):
            found = ", ".join(repr(excerpt(name, LONGEST_QUOTED_NAME)) for name in heading)
            must = f"the columns must be {', '.join(COLUMNS)}, in any order"
            raise _invalid(file, [f"line {first}: {must}. Found: {found or 'nothing'}."])
        for fields in table:
            fields = [field.strip() for field in fields]
            if any(fields):
                padded = fields + [""] * len(columns)
                surplus = [field for field in fields[len(columns) :] if field]
                row = dict(zip(columns, padded, strict=False))
                yield Row(table.line_num + first - 1, row, surplus)
    except csv.Error as broken:
        line = table.line_num + first - 1
        raise _invalid(file, [f"line {line}: this is not CSV ({broken})."]) from None


def _text(file: Path) -> str:
    whole = file.read_bytes()
    encoding = "utf-16" if whole.startswith(UTF_16) else "utf-8-sig"
    try:
        return whole.decode(encoding)
    except UnicodeDecodeError as broken:
        line = whole.count(b"\n", 0, broken.start) + 1
        raise _invalid(file, [f"line {line}: this is not UTF-8. Save the file as UTF-8."]) from None


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the heading into the most columns. The comma is the default."""
    heading = text.partition("\n")[0]
    return max(DELIMITERS, key=heading.count)


def _newcomer(row: Row, roles: RoleSet, mistakes: list[str]) -> Newcomer | None:
    """Return the person of a row, or None after adding its first mistake.

    In a row with fewer fields, the last ones are empty.
    """
    email, name, role = (row.fields[column] for column in COLUMNS)
    at, found = "", ""
    try:
        at, found = f"column {len(COLUMNS) + 1}", next(iter(row.surplus), "")
        if row.surplus:
            raise TooManyFields
        at, found = "column email", email
        address = normalize_email(_filled(email))
        at, found = "column role", role
        known = _role(_filled(role), roles)
        at, found = "column name", name
        return Newcomer(address, clean("name", name, LONGEST_NAME) if name else None, known)
    except TeamaccessError as mistake:
        quoted = f"found {excerpt(found, LONGEST_QUOTED_NAME)!r}" if found else "it is empty"
        mistakes.append(f"line {row.line}: {at}: {quoted}. {mistake.detail}")
        return None


def _filled(field: str) -> str:
    if not field:
        raise EmptyField
    return field


def _role(written: str, roles: RoleSet) -> RoleId:
    """Return the role with this id or name. Raises UnknownRole, AmbiguousRole and OperatorOnlyRole."""
    role = RoleId(written)
    if role not in roles:
        named = list(_named(written, roles))
        if len(named) > 1:
            raise AmbiguousRole(roles=named)
        role = named[0] if named else role
    roles.refuse_unknown([role])
    if roles.operators_grant(role):
        raise OperatorOnlyRole(role=role)
    return role


def _named(name: str, roles: RoleSet) -> Iterable[RoleId]:
    """Yield the roles with this name or id in any case."""
    wanted = " ".join(name.casefold().split())
    for role in (*map(RoleId, roles.catalog.roles), *roles.custom):
        if wanted in (" ".join(roles.name(role).casefold().split()), role.casefold()):
            yield role


def _invalid(file: Path, mistakes: list[str]) -> InvalidFile:
    return InvalidFile(file=file, count=pluralize(len(mistakes), "mistake"), mistakes=mistakes)
