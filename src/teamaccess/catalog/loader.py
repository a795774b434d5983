"""Find and load catalogs by name or path."""

from pathlib import Path

from teamaccess.catalog.catalog import Catalog
from teamaccess.catalog.errors import UnknownCatalog
from teamaccess.catalog.reader import read_catalog

PACKAGE = Path(__file__).parents[1]
FOLDERS = (
    PACKAGE / "schema" / "catalogs",  # installed from a wheel
    PACKAGE.parents[1] / "schema" / "catalogs",  # a checkout
)


def load_catalog(name_or_path: str | Path) -> Catalog:
    """Return the catalog of a name such as `fintoc`, or of a path such as `./shop.yaml`.

    Raises UnknownCatalog if there is none, and InvalidCatalog with the mistakes of an invalid one.
    """
    path = find_catalog_file(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnknownCatalog(f"no catalog can be read from {path}: {error}") from error
    return read_catalog(text, name=path.stem, source=str(path))


def find_catalog_file(name_or_path: str | Path) -> Path:
    """Return the file of a catalog. Raises UnknownCatalog for an unknown name."""
    path = Path(name_or_path)
    if path.suffix or path.name != str(name_or_path):
        return path
    catalogs = bundled_catalogs()
    if str(name_or_path) not in catalogs:
        raise UnknownCatalog(
            f"no catalog is called {name_or_path}; known are {', '.join(catalogs)}"
        )
    return catalogs[str(name_or_path)]


def bundled_catalogs() -> dict[str, Path]:
    """Return the files of the bundled catalogs by name."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.glob("*.yaml"))}
