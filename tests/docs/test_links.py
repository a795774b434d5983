"""Every link in the documentation leads to a page that exists, and to a heading of that page."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
GENERATED = {ROOT / "docs" / "reference" / "http-api.md"}
"""Pages that are made from the OpenAPI document and are not in the repository."""


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and mkdocs make of a page's headings."""
    headings = HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


def broken_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere; links to other sites are not followed."""
    broken = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target in GENERATED:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{page.relative_to(ROOT)}: {link}")
    return broken


def test_every_link_leads_to_a_page_and_a_heading() -> None:
    assert [link for page in PAGES for link in broken_links(page)] == []
