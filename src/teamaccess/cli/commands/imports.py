"""`teamaccess import`: bring in what a customer had elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from teamaccess.cli.connected import AsJson, connected, operator, tell
from teamaccess.cli.members_file import COLUMNS, read_members_file
from teamaccess.common.progress import Meter
from teamaccess.common.text import pluralize
from teamaccess.directory.members.imports import import_members
from teamaccess.directory.organizations.find import get_organization
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Bring in what a customer had elsewhere."""


@app.command("members")
def members(
    file: Annotated[
        Path,
        typer.Argument(
            help=f"CSV in UTF-8 with the columns {','.join(COLUMNS)}, in any order.",
            exists=True,
            dir_okay=False,
        ),
    ],
    organization: Annotated[str, typer.Option(help="Where they become members.")],
    as_json: AsJson = False,
) -> None:
    """Make members of everybody in a file, without inviting them.

    Who is a member already stays as they are, so an import that was interrupted can be run again. Roles
    that only operators give are refused: grant them one by one.
    """

    async def bring_in(service: Service) -> tuple[int, int]:
        here = OrganizationId(organization)
        async with service.reads() as session:
            await get_organization(session, here)
        newcomers = read_members_file(file, service.catalog)
        seen = joined = 0
        with Meter("Importing", "members", len(newcomers)) as meter:
            async for batch, new in import_members(
                service.ledger, service.applier, operator(), here, newcomers
            ):
                seen, joined = seen + batch, joined + new
                meter.step(batch)
        return seen, joined

    seen, joined = connected(bring_in)
    before = f"members already: {seen - joined}"
    sentence = f"{pluralize(joined, 'new member')} of {organization}; {before}."
    tell(as_json, sentence, organization=organization, rows=seen, joined=joined)
