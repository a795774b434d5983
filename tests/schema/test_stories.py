"""The stories beside the schema, checked in a real SpiceDB."""

from pathlib import Path

import pytest

from tests.schema.engine import Engine
from tests.schema.story import STORIES, Story

FILES = sorted(STORIES.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_schema_answers_as_the_story_says(engine: Engine, path: Path) -> None:
    assert Story.read(path).wrong(engine) == []


def test_every_role_has_a_story() -> None:
    reported = {path.stem for path in FILES}
    assert {
        *("fintoc_administrator", "fintoc_operations", "fintoc_finance_and_accounting"),
        *("fintoc_support", "fintoc_product", "fintoc_developer"),
        *("finicom_admin", "finicom_write", "finicom_read"),
    } <= reported


def test_a_wrong_story_fails(engine: Engine) -> None:
    story = Story.read(STORIES / "four_eyes.yaml")
    story.yes.append("transfer:acme/t1#authorize@user:ada")
    story.no.append("transfer:acme/t1#authorize@user:ben")
    story.expected["transfer:acme/t1#authorize"].pop()
    assert story.wrong(engine) == [
        "not so: transfer:acme/t1#authorize@user:ada",
        "so, but should not be: transfer:acme/t1#authorize@user:ben",
        "transfer:acme/t1#authorize is for ['user:ben', 'user:tia'], not ['user:ben']",
    ]
