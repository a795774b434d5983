"""Check that a public name stands for one thing: `python -m checks.names`.

A public name is a class or function at the top level of a module of teamaccess, migrations aside. Two
things with one name make readers guess, and searches find the wrong one.

A route and a command may have the name of the use case that they expose. So each of these three layers
may define a name once. `REPEATED` lists all other repeats, each with its reason.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from teamaccess.common.formats.streams import harden_streams

SOURCE: Final = Path(__file__).parents[1] / "src" / "teamaccess"

EDGES: Final = ("api/routes/", "cli/commands/")
"""Folders of the routes and the commands."""

REPEATED: Final = {
    "commands": "Typer's callback of each group of commands",
}
"""Names that are repeated on purpose, with the reason."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Place:
    """Where a name is defined."""

    file: str
    """Relative to the source."""
    line: int

    @property
    def layer(self) -> str:
        """The edge, or nothing for everything below the edges."""
        return next((edge for edge in EDGES if self.file.startswith(edge)), "")


def main() -> int:
    """Print what is wrong, and return the exit code."""
    harden_streams()
    faults = faults_in(SOURCE, REPEATED)
    for fault in faults:
        print(fault)  # noqa: T201 - this is a command
    return 1 if faults else 0


def faults_in(source: Path, repeated: Iterable[str]) -> list[str]:
    """Return a sentence for each repeated name without a reason, and each reason without a repeat."""
    found = repeats(source)
    unlisted = [
        f"{name} is defined in {', '.join(f'{each.file}:{each.line}' for each in places)}. "
        "Rename all but one, or list the name in checks/names.py with a reason."
        for name, places in found.items()
        if name not in repeated
    ]
    stale = [
        f"{name} is not repeated any more. Remove it from checks/names.py."
        for name in repeated
        if name not in found
    ]
    return unlisted + stale


def repeats(source: Path) -> dict[str, list[Place]]:
    """Return the names that one layer defines in more than one module, with all their places."""
    places: dict[str, list[Place]] = defaultdict(list)
    for file in sorted(source.rglob("*.py")):
        if "migrations" in file.parts:  # they keep the names of their time
            continue
        for name, line in public_names(ast.parse(file.read_text("utf-8"))).items():
            places[name].append(Place(file.relative_to(source).as_posix(), line))
    return {name: where for name, where in sorted(places.items()) if _is_repeated(where)}


def public_names(module: ast.Module) -> dict[str, int]:
    """Return the public classes and functions of a module by name; overloads count once."""
    return {
        node.name: node.lineno
        for node in module.body
        if isinstance(node, Definition) and not node.name.startswith("_")
    }


def _is_repeated(places: list[Place]) -> bool:
    layers = [place.layer for place in places]
    return len(layers) > len(set(layers))


if __name__ == "__main__":
    sys.exit(main())
