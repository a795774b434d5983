"""Questions to SpiceDB: about an action in the organization, or on one of its objects."""

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Invalid
from teamaccess.directory.resources.find import UnknownResourceType
from teamaccess.ledger import UnknownOrganization
from teamaccess.relationships import InvalidRelationship, ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, is_organization_id
from teamaccess.storage.base import local_id


class UnknownResourceAction(Invalid):
    """The type of the resource, or the catalog, has no such action."""

    code = "unknown_action"
    message = "There is no action {action!r} on {resource}. Its actions are: {actions}."


class OnlyOnTheObject(Invalid):
    """The action excludes the creator, so it is decided for one resource and not for the organization."""

    message = (
        "{action} excludes the creator of the resource, so it is decided per resource. Name "
        "one, for example `{example}`."
    )


class InvalidResource(Invalid):
    """The text does not name a resource of the organization."""

    message = (
        "{resource!r} does not name a resource of {organization}. Write type:id, for example "
        "webhook:wh_1."
    )


def question_about(
    catalog: Catalog, organization: OrganizationId, action: str, resource: str | None = None
) -> tuple[ObjectReference, str]:
    """Return the object in SpiceDB and the permission that a question is about.

    A resource is named with or without its organization: `webhook:acme/wh_1` or `webhook:wh_1`. Raises
    UnknownOrganization, UnknownResourceAction, OnlyOnTheObject and InvalidResource.
    """
    if not is_organization_id(organization):
        raise UnknownOrganization(organization=organization)
    if resource is None:
        on = organization_object(organization)
        actions = _actions_in_organization(catalog, organization, action)
    else:
        on = _object(catalog, organization, resource)
        actions = list(catalog.types[on.type].actions)
    if action not in actions:
        raise UnknownResourceAction(action=action, resource=on, actions=actions)
    return on, action


def _actions_in_organization(
    catalog: Catalog, organization: OrganizationId, action: str
) -> list[str]:
    if action in catalog.actions and catalog.actions[action].four_eyes:
        example = next(
            f"{kind.id}:{organization}/<id>#{verb}"
            for kind in catalog.types.values()
            for verb, behind in kind.actions.items()
            if behind == action
        )
        raise OnlyOnTheObject(action=action, example=example)
    return [known.id for known in catalog.permissions.values() if not known.four_eyes]


def _object(catalog: Catalog, organization: OrganizationId, resource: str) -> ObjectReference:
    invalid = InvalidResource(resource=resource, organization=organization)
    try:
        on = ObjectReference.parse(resource)
        if "/" not in on.id:
            on = ObjectReference(on.type, f"{organization}/{on.id}")
    except InvalidRelationship:
        raise invalid from None
    if on.type not in catalog.types:
        raise UnknownResourceType(type=on.type, types=list(catalog.types))
    if local_id(on, organization) is None:
        raise invalid
    return on
