"""What a role of an organization's own may be called in the graph."""

from teamaccess.catalog import Catalog
from teamaccess.errors import Conflict, Invalid
from teamaccess.models import RoleId, is_role_id

NOBODY = "none"
"""What says, where a role is expected, that it is to be none."""


class InvalidRoleId(Invalid):
    """{id!r} cannot be the id of a role: 3 to 64 characters of a-z, 0-9 and _, first a letter, last no _."""  # noqa: E501 - a sentence is one line


class RoleIdReserved(Conflict):
    """The id {id} already means something in every organization; choose another."""


def refuse_bad_id(catalog: Catalog, id: str) -> RoleId:
    """Return the id; raises InvalidRoleId and RoleIdReserved."""
    if not is_role_id(id):
        raise InvalidRoleId(id=id)
    if id == NOBODY or id in catalog.organization_names:
        raise RoleIdReserved(id=id)
    return RoleId(id)
