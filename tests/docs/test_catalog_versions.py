"""The examples name the catalogs of today."""

import re
from pathlib import Path

import pytest

from teamaccess.catalog import bundled_catalogs, find_catalog_file, load_catalog

ROOT = Path(__file__).parents[2]
HASHED = ROOT / "docs/explanation/ledger-chains.md"
"""This page hashes an entry of an earlier catalog, and a reader repeats its numbers."""
PAGES = [
    *(page for page in (ROOT / "docs").rglob("*.md") if page != HASHED),
    ROOT / "README.md",
    ROOT / "src/teamaccess/api/examples.json",
]


@pytest.mark.parametrize("name", sorted(bundled_catalogs()))
def test_examples_name_the_version_of_today(name: str) -> None:
    version = load_catalog(find_catalog_file(name)).version
    named = {
        (str(page.relative_to(ROOT)), found)
        for page in PAGES
        for found in re.findall(rf"\b{name}-[0-9a-f]{{12}}\b", page.read_text())
    }
    assert {(page, found) for page, found in named if found != version} == set()
