"""The documentation site: its navigation, its links, and the index of decisions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from docsite.navigation import Navigation, navigation, section_of
from docsite.pages import BrokenLinks, stage

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
ROW = re.compile(
    r"^\| (\d+) \| \[([^\]]+)\]\(([^)]+)\) \| ([^|]+) \| \d{4}-\d\d-\d\d \|$", re.MULTILINE
)
STATUS = re.compile(r"Accepted|Proposed|Deprecated|Superseded by \[?(\d+)\b.*")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the pages that every site needs."""
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/index.md", "src/code.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# Title\n")
    return tmp_path


class Row(NamedTuple):
    """A decision in the index."""

    number: str
    title: str
    file: str
    status: str


def rows() -> list[Row]:
    return [Row(*cells) for cells in ROW.findall((DECISIONS / "index.md").read_text())]


def test_the_index_has_every_decision() -> None:
    assert [row.file for row in rows()] == sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.file)
def test_a_decision_has_its_title_and_a_status_in_the_index(row: Row) -> None:
    assert int(row.number) == int(row.file[:4])
    title = (DECISIONS / row.file).read_text().splitlines()[0]
    assert title == f"# {row.number}. {row.title}"
    status = STATUS.fullmatch(row.status)
    assert status, row.status
    assert status[1] in {None, *(each.number for each in rows())}


def test_the_navigation_has_every_page_once(tmp_path: Path) -> None:
    stage(ROOT, tmp_path / "docs")
    pages = {path.relative_to(tmp_path / "docs").as_posix() for path in tmp_path.rglob("*.md")}
    listed = list(_paths(navigation(tmp_path / "docs")))
    assert listed[0] == "index.md"
    assert sorted(listed) == sorted(pages)


def _paths(entry: Navigation | str | dict[str, str | Navigation]) -> Iterator[str]:
    match entry:
        case str():
            yield entry
        case list():
            yield from (path for each in entry for path in _paths(each))
        case dict():
            yield from (path for each in entry.values() for path in _paths(each))


@pytest.mark.parametrize(
    ("page", "section"),
    [
        ("tutorial.md", "Tutorial"),
        ("how-to/back-up.md", "How-to guides"),
        ("reference/limits.md", "Reference"),
        ("glossary.md", "Reference"),
        ("explanation/architecture.md", "Explanation"),
        ("decisions/0001-sum.md", "Decisions"),
        ("roadmap.md", "Project"),
        ("project/contributing.md", "Project"),
    ],
)
def test_a_page_belongs_to_the_section_of_its_folder(page: str, section: str) -> None:
    assert section_of(page) == section


def test_a_broken_link_fails_the_build(repository: Path) -> None:
    (repository / "docs/index.md").write_text(
        "# Title\n\n[gone](gone.md) and [code](../src/no.py)\n"
    )
    with pytest.raises(BrokenLinks) as broken:
        stage(repository, repository / "build")
    assert str(broken.value).splitlines() == [
        "docs/index.md: gone.md does not exist",
        "docs/index.md: ../src/no.py does not exist",
    ]


def test_links_point_to_the_copied_pages_and_code_is_unchanged(repository: Path) -> None:
    (repository / "docs/index.md").write_text(
        "# Title\n\n[how](../CONTRIBUTING.md#set-up), [code](../src/code.py), [web](https://a.example)\n"
        "and `[quoted](gone.md)`\n\n```md\n[fenced](gone.md)\n```\n"
    )
    (repository / "CONTRIBUTING.md").write_text("# Title\n\n[home](docs/index.md)\n")

    stage(repository, repository / "build")

    assert (repository / "build/index.md").read_text() == (
        "# Title\n\n[how](project/contributing.md#set-up), code, [web](https://a.example)\n"
        "and `[quoted](gone.md)`\n\n```md\n[fenced](gone.md)\n```\n"
    )
    assert (
        repository / "build/project/contributing.md"
    ).read_text() == "# Title\n\n[home](../index.md)\n"


def test_a_code_block_keeps_only_its_language(repository: Path) -> None:
    (repository / "docs/index.md").write_text("# Title\n\n```console tour\n$ make run\n```\n")

    stage(repository, repository / "build")

    assert (repository / "build/index.md").read_text() == "# Title\n\n```console\n$ make run\n```\n"
