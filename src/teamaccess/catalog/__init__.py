"""The access model as reviewed code: read from YAML, checked, compiled to a schema. Pure."""

from teamaccess.catalog.catalog import Catalog
from teamaccess.catalog.compiler import compile_schema
from teamaccess.catalog.errors import InvalidCatalog, Mistake, RoleNotInCatalog, UnknownCatalog
from teamaccess.catalog.loader import catalogs, find, load
from teamaccess.catalog.model import OPERATIONS, Action, Level, Resource, ResourceType, Role
from teamaccess.catalog.reader import read

__all__ = [
    "OPERATIONS",
    "Action",
    "Catalog",
    "InvalidCatalog",
    "Level",
    "Mistake",
    "Resource",
    "ResourceType",
    "Role",
    "RoleNotInCatalog",
    "UnknownCatalog",
    "catalogs",
    "compile_schema",
    "find",
    "load",
    "read",
]
