"""What is granted on single objects."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from litestar import Response, get, put
from litestar.params import HeaderParameter, JSONBody
from msgspec import UNSET

from teamaccess.api.edge import changes
from teamaccess.api.parameters import InPath, SignedIn, TheService
from teamaccess.api.routes.resources import ONE
from teamaccess.api.views.resources import GrantsView, GrantsWanted, GrantView, GrantWanted
from teamaccess.errors import Invalid, PreconditionFailed
from teamaccess.ledger import Change
from teamaccess.models import Grant, HolderKind, OrganizationId, ResourceId
from teamaccess.resources.find import get_resource
from teamaccess.resources.grants import What, grants_on, replace_grants, what

GRANTS = f"{ONE}/grants"

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]


class GrantTwice(Invalid):
    """{grant!r} is named twice; name each grant once."""


class GrantsChangedMeanwhile(PreconditionFailed):
    """What is granted on {resource} has changed since you read it. Read it again."""


@get(GRANTS, operation_id="list_grants")
async def show_grants(
    organization: InPath, type: InPath, resource: InPath, actor: SignedIn, service: TheService
) -> Response[GrantsView]:
    """Return all that is granted on an object; the ETag names it."""
    id, key = OrganizationId(organization), (type, ResourceId(resource))
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        await get_resource(session, service.catalog, id, key)
        found = await grants_on(session, id, key)
    return Response(view(found, now), headers={"ETag": etag(found)})


@put(GRANTS, operation_id="replace_grants")
@changes
async def change_grants(
    organization: InPath,
    type: InPath,
    resource: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[GrantsWanted],
    if_match: IfMatch = None,
) -> GrantsView:
    """Have exactly this granted on an object; what is kept is in force throughout."""
    id, key = OrganizationId(organization), (type, ResourceId(resource))
    known = etag(await grants_on(change.session, id, key)) if if_match is not None else None
    now = await replace_grants(change, actor.id, id, key, once_each(data.grants))
    if if_match is not None and not {"*", known} & {tag.strip() for tag in if_match.split(",")}:
        raise GrantsChangedMeanwhile(resource=f"{type}:{resource}")
    return view(now, change.now)


def once_each(grants: Sequence[GrantWanted]) -> dict[What, datetime | None]:
    """Return the grants with their ends; raises GrantTwice."""
    wanted: dict[What, datetime | None] = {}
    for each in grants:
        if each.user is not UNSET:
            one = What(each.action, HolderKind.USER, each.user)
        else:
            one = What(each.action, HolderKind.TEAM, str(each.team))
        if one in wanted:
            raise GrantTwice(grant=one)
        wanted[one] = each.expires_at
    return wanted


def view(grants: Sequence[Grant], now: datetime) -> GrantsView:
    """Return those that are in force."""
    return GrantsView([GrantView.of(each) for each in grants if each.active(now)])


def etag(grants: Sequence[Grant]) -> str:
    """Return the ETag of what is granted on an object, with the ends."""
    held = [f"{what(each)} {each.expires_at}" for each in grants]
    return f'"{hashlib.sha256(repr(held).encode()).hexdigest()[:16]}"'


routes = [show_grants, change_grants]
