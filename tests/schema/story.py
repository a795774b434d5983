"""A file in SpiceDB's validation format: `schemaFile`, `relationships`, `assertions` and
`validation`, as `zed validate` reads them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from teamaccess.relationships import Relationship
from tests.schema.engine import Engine

STORIES = Path(__file__).parents[2] / "schema" / "validations"
EXPECTED = re.compile(r"\[(?P<subject>[^\]]+)\] is (?P<through><[^>]+>(?:/<[^>]+>)*)")


@dataclass(frozen=True)
class Expected:
    """The users with a permission, and the relations that give it to them."""

    subject: str
    through: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        match = EXPECTED.fullmatch(text)
        assert match, f"not an expected relation: {text}"
        return cls(match["subject"], frozenset(match["through"].strip("<>").split(">/<")))


@dataclass(frozen=True)
class Story:
    """One validation file."""

    schema: str
    relationships: list[Relationship]
    yes: list[str]
    no: list[str]
    expected: dict[str, list[Expected]]

    @classmethod
    def read(cls, path: Path) -> Self:
        story = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert story.keys() == {"schemaFile", "relationships", "assertions", "validation"}
        return cls(
            schema=(path.parent / story["schemaFile"]).read_text(encoding="utf-8"),
            relationships=[Relationship.parse(line) for line in story["relationships"].split()],
            yes=story["assertions"]["assertTrue"],
            no=story["assertions"]["assertFalse"],
            expected={
                permission: [Expected.parse(text) for text in texts]
                for permission, texts in story["validation"].items()
            },
        )

    def wrong(self, engine: Engine) -> list[str]:
        """Load the story into SpiceDB. Returns the answers that differ."""
        engine.write_schema(self.schema)
        engine.write(self.relationships)
        answers = engine.holds([*self.yes, *self.no])
        return [
            *(f"not so: {question}" for question in self.yes if not answers[question]),
            *(f"so, but should not be: {question}" for question in self.no if answers[question]),
            *(
                found
                for permission in self.expected
                for found in self._unexpected(engine, permission)
            ),
        ]

    def _unexpected(self, engine: Engine, permission: str) -> list[str]:
        expected = self.expected[permission]
        users, found = sorted(each.subject for each in expected), sorted(engine.users(permission))
        paths = [f"{through}@{each.subject}" for each in expected for through in each.through]
        return [
            *([f"{permission} is for {found}, not {users}"] if found != users else []),
            *(f"no path: {path}" for path, there in engine.holds(paths).items() if not there),
        ]
