"""`teamaccess import`: import a customer's members from another system."""

from pathlib import Path
from typing import Annotated

import typer

from teamaccess.access.holdings import every_role
from teamaccess.cli.members_file import COLUMNS, read_members
from teamaccess.cli.with_service import AsJson, operator_attribution, print_result, with_service
from teamaccess.common.progress import Meter
from teamaccess.common.sentences.plurals import pluralize
from teamaccess.directory.members.imports import ImportedBatch, import_members
from teamaccess.directory.organizations.find import get_organization
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Import a customer's data from another system."""


@app.command("members")
def members(
    file: Annotated[
        Path,
        typer.Argument(
            help=f"CSV in UTF-8 with the columns {','.join(COLUMNS)}, in any order. A role is an id or a "
            "name.",
        ),
    ],
    organization: Annotated[str, typer.Option(help="The organization that they join.")],
    as_json: AsJson = False,
) -> None:
    """Make members of everybody in a CSV file, without inviting them.

    Existing members stay unchanged, so you can run an interrupted import again. Roles that only
    operators give are refused. Grant those one by one.
    """

    if not file.is_file():  # checked here, so that a missing option is named before a missing file
        raise typer.BadParameter(f"There is no file '{file}'.", param_hint="FILE")

    async def import_file(service: Service) -> list[ImportedBatch]:
        id = OrganizationId(organization)
        async with service.reads() as session:
            await get_organization(session, id)
            roles = await every_role(session, service.catalog, id)
        newcomers = read_members(file, roles)
        batches = []
        with Meter("Importing", "members", len(newcomers)) as meter:
            async for batch in import_members(
                service.ledger, service.applier, operator_attribution(), id, newcomers
            ):
                batches.append(batch)
                meter.step(len(batch.members))
        return batches

    batches = with_service(import_file)
    members = [
        {"email": each.email, "user": each.user, "joined": each.joined, "position": batch.position}
        for batch in batches
        for each in batch.members
    ]
    joined = sum(batch.joined for batch in batches)
    positions = [batch.position for batch in batches if batch.position is not None]
    already = f"members already: {len(members) - joined}"
    print_result(
        as_json,
        f"{pluralize(joined, 'new member')} of {organization}; {already}.",
        organization=organization,
        rows=len(members),
        joined=joined,
        positions=positions,
        members=members,
    )
