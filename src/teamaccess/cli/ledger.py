"""`teamaccess ledger`: what was decided and told, and the proof that it is still as it was written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from teamaccess.cli.connected import AsJson, connected, tell
from teamaccess.ledger import UnknownOrganization
from teamaccess.ledger.heads import KeptHead, heads, kept_in
from teamaccess.ledger.read_chains import snapshot
from teamaccess.ledger.verify import Verification, entries_to_verify, verify
from teamaccess.local.progress import Meter
from teamaccess.service import Service

app = typer.Typer(add_completion=False, no_args_is_help=True)

DOES_NOT_HOLD = 1

Organization = Annotated[
    str | None, typer.Option(help="Only this organization's chains; all of them if not given.")
]


@app.callback()
def commands() -> None:
    """Look after the ledger and the events."""


@app.command("verify")
def verify_chains(
    organization: Organization = None,
    kept: Annotated[
        Path | None,
        typer.Option("--heads", help="Heads that were kept.", exists=True, dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether nothing was altered. Exits with 0 if everything holds, with 1 if something does not.

    Every hash is computed again from nothing. What was cut off at the end of a chain, or written anew
    with hashes that fit, shows only beside heads that were kept elsewhere.
    """

    async def look(service: Service) -> Verification:
        async with snapshot(service.settings.sqlalchemy_url) as connection:
            total = await entries_to_verify(connection, organization)
            with _opened(kept) as to_compare, Meter("Verifying", "entries", total) as meter:
                return await verify(connection, organization, to_compare, meter.step)

    found = connected(look)
    tell(as_json, _sentences(found), holds=found.holds, **asdict(found))
    raise typer.Exit(0 if found.holds else DOES_NOT_HOLD)


@app.command("heads")
def export_heads(
    organization: Organization = None,
    as_json: Annotated[bool, typer.Option("--json", help="They are JSON in any case.")] = False,
) -> None:
    """Print where each chain ends, a line of JSON each, to be kept elsewhere for `verify --heads`."""

    async def export(service: Service) -> bool:
        known = False
        async with snapshot(service.settings.sqlalchemy_url) as connection:
            async for head in heads(connection, organization):
                typer.echo(msgspec.json.encode(head).decode())
                known = True
        return known

    if not connected(export) and organization is not None:
        raise UnknownOrganization(organization=organization)


@contextmanager
def _opened(path: Path | None) -> Iterator[Iterator[KeptHead] | None]:
    """The heads in a file, read as they are asked for."""
    if path is None:
        yield None
        return
    with path.open("rb") as lines:
        yield kept_in(lines, str(path))


def _sentences(found: Verification) -> str:
    """Return a line for everything that does not hold, and what was looked at."""
    looked_at = (
        f"Looked at: chains {found.chains}, entries {found.entries}, kept heads {found.kept_heads}, "
        f"reasons {found.reasons} ({found.reasons_erased} erased)."
    )
    verdict = "Everything holds." if found.holds else "Not everything holds."
    return "\n".join([*map(str, found.findings), f"{verdict} {looked_at}"])
