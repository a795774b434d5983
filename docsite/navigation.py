"""The navigation, in the order of Diátaxis: found from the files, so that no page is forgotten."""

import re
from pathlib import Path
from typing import Final

TITLE = re.compile(r"^# (.+)$", re.MULTILINE)

SECTIONS: Final = {
    "Tutorial": ("tutorial.md", "tutorial/"),
    "How-to guides": ("how-to/",),
    "Reference": ("reference/", "glossary.md", ""),
    "Explanation": ("explanation/",),
    "Decisions": ("decisions/",),
    "Project": ("roadmap.md", "versioning.md", "project/"),
}
"""The pages of each section, by how their paths begin. A page without a section is reference."""

Navigation = list["str | dict[str, str | Navigation]"]


def navigation(pages: Path) -> Navigation:
    """Return the navigation of all pages of a folder."""
    paths = [path.relative_to(pages).as_posix() for path in pages.rglob("*.md")]
    found: dict[str, Navigation] = {section: [] for section in SECTIONS}
    for path in sorted(paths, key=_order):
        if path != "index.md":
            found[section_of(path)].append(_entry(pages, path))
    home: Navigation = [{"Home": "index.md"}]
    return home + [{section: entries} for section, entries in found.items() if entries]


def section_of(path: str) -> str:
    """Return the section of a page."""
    matches = {
        start: section
        for section, starts in SECTIONS.items()
        for start in starts
        if path.startswith(start)
    }
    return matches[max(matches, key=len)]


def _order(path: str) -> tuple[bool, str]:
    """The index of a folder comes first."""
    return not path.endswith("/index.md"), path


def _entry(pages: Path, path: str) -> str | dict[str, str | Navigation]:
    """A page by its title; the index of a folder has none, which makes it the section's own page."""
    return path if path.endswith("/index.md") else {_title(pages / path): path}


def _title(page: Path) -> str:
    title = TITLE.search(page.read_text("utf-8"))
    if title is None:
        raise ValueError(f"{page} has no title: begin it with a line `# Title`.")
    return title[1].replace("`", "")
