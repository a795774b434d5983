"""A catalog that differs from the built-in ones."""

from pathlib import Path

import pytest

from teamaccess.catalog import Catalog, find_catalog_file, load_catalog

NEW_ROLE = """\
  cashier:
    name: Cashier
    description: Does nothing yet.
    granted_by: dashboard
resources:"""


@pytest.fixture
def catalog_with_cashier(tmp_path: Path) -> Catalog:
    """Fintoc's catalog with one more role."""
    catalog = tmp_path / "fintoc.yaml"
    catalog.write_text(find_catalog_file("fintoc").read_text().replace("resources:", NEW_ROLE, 1))
    return load_catalog(catalog)
