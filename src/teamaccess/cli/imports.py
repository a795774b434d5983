"""`teamaccess import`: bring in what a customer had elsewhere."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from teamaccess.catalog import Catalog
from teamaccess.cli.connected import AsJson, connected, operator, tell
from teamaccess.errors import Invalid, TeamaccessError
from teamaccess.local.progress import Meter
from teamaccess.members.imports import Newcomer, import_members
from teamaccess.models import OrganizationId, RoleId
from teamaccess.roles.known import Roles
from teamaccess.service import Service
from teamaccess.text import LONGEST_NAME, clean
from teamaccess.users.addresses import normalise

app = typer.Typer(add_completion=False, no_args_is_help=True)

COLUMNS = ["email", "name", "role"]
MOST_TOLD = 20


class InvalidFile(Invalid):
    """Nothing was imported: {file} has {count} mistakes. {mistakes}"""


@app.callback()
def commands() -> None:
    """Bring in what a customer had elsewhere."""


@app.command("members")
def members(
    file: Annotated[
        Path, typer.Argument(help="CSV with the columns email,name,role.", exists=True)
    ],
    organization: Annotated[str, typer.Option(help="Where they become members.")],
    as_json: AsJson = False,
) -> None:
    """Make members of everybody in a file, without inviting them.

    Who is a member already stays as they are, so an import that was interrupted can be run again. Roles
    that only operators give are refused: grant them one by one.
    """

    async def bring_in(service: Service) -> tuple[int, int]:
        newcomers = _read(file, service.catalog)
        seen = joined = 0
        with Meter("Importing", "members", len(newcomers)) as meter:
            async for batch, new in import_members(
                service.ledger,
                service.applier,
                operator(),
                OrganizationId(organization),
                newcomers,
            ):
                seen, joined = seen + batch, joined + new
                meter.step(batch)
        return seen, joined

    seen, joined = connected(bring_in)
    sentence = f"{joined} of {seen} are new members of {organization}; the others were members."
    tell(as_json, sentence, organization=organization, rows=seen, joined=joined)


def _read(file: Path, catalog: Catalog) -> list[Newcomer]:
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
        told = [*mistakes[:MOST_TOLD], *(["..."] if len(mistakes) > MOST_TOLD else [])]
        raise InvalidFile(file=file, count=len(mistakes), mistakes="\n".join(["", *told]))
    return list(found.values())


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines, strict=True)
        if table.fieldnames is None or list(table.fieldnames) != COLUMNS:
            raise InvalidFile(
                file=file, count=1, mistakes=f"\nline 1: the columns are {','.join(COLUMNS)}."
            )
        for row in table:
            yield table.line_num, {column: row.get(column) or "" for column in COLUMNS}


def _newcomer(row: dict[str, str], catalog: Catalog) -> Newcomer:
    role = RoleId(row["role"].strip())
    Roles(catalog, {}).refuse_unknown([role])
    name = clean("name", row["name"], LONGEST_NAME) if row["name"].strip() else None
    return Newcomer(normalise(row["email"]), name, role)
