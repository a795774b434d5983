"""The access model as reviewed code: read from YAML, checked, compiled to a schema. Pure."""

from teamaccess.catalog.catalog import Catalog
from teamaccess.catalog.compiler import compile_schema
from teamaccess.catalog.errors import InvalidCatalog, Mistake, RoleNotInCatalog, UnknownCatalog
from teamaccess.catalog.loader import catalogs, find, load
from teamaccess.catalog.model import OPERATIONS, Action, CatalogResource, Level, ResourceType, Role
from teamaccess.catalog.reader import read_catalog

__all__ = [
    "OPERATIONS",
    "Action",
    "Catalog",
    "CatalogResource",
    "InvalidCatalog",
    "Level",
    "Mistake",
    "ResourceType",
    "Role",
    "RoleNotInCatalog",
    "UnknownCatalog",
    "catalogs",
    "compile_schema",
    "find",
    "load",
    "read_catalog",
]
