"""The access model as a reviewed file: read from YAML, checked, compiled to a schema. It is pure."""

from teamaccess.catalog.catalog import Catalog
from teamaccess.catalog.compiler import compile_schema
from teamaccess.catalog.errors import InvalidCatalog, Mistake, RoleNotInCatalog, UnknownCatalog
from teamaccess.catalog.loader import bundled_catalogs, find_catalog_file, load_catalog
from teamaccess.catalog.model import (
    OPERATIONS,
    Action,
    CatalogResource,
    Level,
    ObjectRole,
    ResourceType,
    Role,
    giving_permission,
)
from teamaccess.catalog.reader import read_catalog

__all__ = [
    "OPERATIONS",
    "Action",
    "Catalog",
    "CatalogResource",
    "InvalidCatalog",
    "Level",
    "Mistake",
    "ObjectRole",
    "ResourceType",
    "Role",
    "RoleNotInCatalog",
    "UnknownCatalog",
    "bundled_catalogs",
    "compile_schema",
    "find_catalog_file",
    "giving_permission",
    "load_catalog",
    "read_catalog",
]
