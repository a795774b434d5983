"""A deployment of one's own: what SpiceDB enforces concerns everybody who shares it."""

from pathlib import Path

import pytest

from teamaccess.catalog import Catalog, find_catalog_file, load_catalog
from tests.support.connections import application, owner
from tests.upkeep.reconciliation.conftest import apart, ground

__all__ = ["apart", "application", "ground", "grown", "owner"]

NEW_ROLE = """\
  cashier:
    name: Cashier
    description: Does nothing yet.
    granted_by: dashboard
resources:"""


@pytest.fixture
def grown(tmp_path: Path) -> Catalog:
    """fintoc's catalog with a role more."""
    catalog = tmp_path / "fintoc.yaml"
    catalog.write_text(find_catalog_file("fintoc").read_text().replace("resources:", NEW_ROLE, 1))
    return load_catalog(catalog)
