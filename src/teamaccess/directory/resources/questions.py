"""What can be asked of the engine: an action in the organization, or on one of its objects."""

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Invalid
from teamaccess.directory.resources.find import UnknownResourceType
from teamaccess.ledger import UnknownOrganization
from teamaccess.relationships import InvalidRelationship, ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, is_organization_id
from teamaccess.storage.source import local_id


class UnknownAction(Invalid):
    """There is no action {action!r} on {resource}. The actions there are: {actions}."""


class OnlyOnTheObject(Invalid):
    """{action} is never for whoever created the object, so it is decided on the object alone: name it, as in `{example}`."""  # noqa: E501 - a sentence is one line


class InvalidResource(Invalid):
    """{resource!r} is no object of {organization}: write type:id, as in webhook:wh_1."""


def asked(
    catalog: Catalog, organization: OrganizationId, action: str, resource: str | None = None
) -> tuple[ObjectReference, str]:
    """Return the object in the graph and its permission that a question is about.

    A resource is named with or without its organization: `webhook:acme/wh_1`, `webhook:wh_1`. Raises
    UnknownOrganization, UnknownAction, OnlyOnTheObject and InvalidResource.
    """
    if not is_organization_id(organization):
        raise UnknownOrganization(organization=organization)
    if resource is None:
        on, known = organization_object(organization), _everywhere(catalog, organization, action)
    else:
        on = _object(catalog, organization, resource)
        known = list(catalog.types[on.type].actions)
    if action not in known:
        raise UnknownAction(action=action, resource=on, actions=known)
    return on, action


def _everywhere(catalog: Catalog, organization: OrganizationId, action: str) -> list[str]:
    if action in catalog.actions and catalog.actions[action].four_eyes:
        example = next(
            f"{kind.id}:{organization}/<id>#{verb}"
            for kind in catalog.types.values()
            for verb, behind in kind.actions.items()
            if behind == action
        )
        raise OnlyOnTheObject(action=action, example=example)
    return [each.id for each in catalog.actions.values() if not each.four_eyes]


def _object(catalog: Catalog, organization: OrganizationId, resource: str) -> ObjectReference:
    wrong = InvalidResource(resource=resource, organization=organization)
    try:
        on = ObjectReference.parse(resource)
        if "/" not in on.id:
            on = ObjectReference(on.type, f"{organization}/{on.id}")
    except InvalidRelationship:
        raise wrong from None
    if on.type not in catalog.types:
        raise UnknownResourceType(type=on.type, types=list(catalog.types))
    if local_id(on, organization) is None:
        raise wrong
    return on
