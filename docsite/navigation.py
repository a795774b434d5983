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

Navigation = list[dict[str, "str | Navigation"]]


def navigation(pages: Path) -> Navigation:
    """Return the navigation of all pages of a folder."""
    paths = sorted(path.relative_to(pages).as_posix() for path in pages.rglob("*.md"))
    found: dict[str, Navigation] = {section: [] for section in SECTIONS}
    for path in paths:
        if path != "index.md":
            title = _title(pages / path)
            found[section_of(path)].append({title: path})
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


def _title(page: Path) -> str:
    title = TITLE.search(page.read_text("utf-8"))
    if title is None:
        raise ValueError(f"{page} has no title: begin it with a line `# Title`.")
    return title[1].replace("`", "")
