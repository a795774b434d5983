"""The customers' documents, typed from the documents alone."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """A row of Fintoc's table."""

    sentence: str
    resource: str
    level: str
    roles: frozenset[str]
    """The names of all roles that have the action, including the administrator."""


def fintoc_table() -> list[Row]:
    with (HERE / "fintoc_table.tsv").open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [
        Row(sentence, resource, level, frozenset({"Administrator", *others(roles)}))
        for sentence, resource, level, roles in rows
    ]


def others(roles: str) -> list[str]:
    return [] if roles == "Admin Only" else roles.split(", ")


@dataclass(frozen=True)
class RoleStatement:
    """What Finicom's guide says about a role."""

    role: str
    can: frozenset[str]
    cannot: frozenset[str]


def finicom_prose() -> Iterator[RoleStatement]:
    guide = yaml.safe_load((HERE / "finicom_prose.yaml").read_text(encoding="utf-8"))
    for role, says in guide.items():
        can, cannot = (frozenset().union(*says[verb].values()) for verb in ("can", "cannot"))
        yield RoleStatement(role, can, cannot)
