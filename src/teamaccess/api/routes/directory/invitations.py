"""Invitations: send, list, resend, cancel and accept them."""

from datetime import timedelta
from functools import partial
from typing import Any

from litestar import Response, delete, get, post
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from teamaccess.access.authorize import OnlyInPerson, RoleTwice
from teamaccess.api.identity.callers import Operator, attribution
from teamaccess.api.requests.edge import answer, changes, recheck_credential
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import (
    AnyRequest,
    PastMoment,
    PathId,
    ServiceDependency,
    SignedInUser,
)
from teamaccess.api.requests.past_lists import past_page, read_past
from teamaccess.api.requests.throttling import release_slot
from teamaccess.audit.lists.invitations import invitations_with_time
from teamaccess.changes import Change, OrganizationChange
from teamaccess.changes.events.users import AcceptanceRefused
from teamaccess.common.errors import TeamaccessError
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.invitations import accept as acceptance
from teamaccess.directory.invitations import offer
from teamaccess.directory.invitations.delivery import find_deliveries, store_outcome
from teamaccess.directory.invitations.find import list_invitations
from teamaccess.directory.invitations.letter import compose
from teamaccess.directory.invitations.obstacles import InvitationObstacles
from teamaccess.directory.invitations.offer import Letter
from teamaccess.directory.mail import send_mail
from teamaccess.directory.users.profiles import verified_address
from teamaccess.directory.users.tokens import (
    LONGEST_LIFE,
    Audience,
    Claims,
    Login,
    issue_access_token,
)
from teamaccess.ledger import NotCommitted, OutcomeUnknown
from teamaccess.ledger.session import raise_busy_on_lock_timeout
from teamaccess.service import Service
from teamaccess.storage import (
    Delivery,
    InvitationId,
    InvitationStatus,
    Organization,
    OrganizationId,
    RoleId,
    User,
)
from teamaccess.views.directory.invitations import (
    AcceptedView,
    AcceptInvitation,
    InvitationView,
    NewInvitation,
    with_delivery,
)


async def repeated(change: Change, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a repeated request: the first one, with what has become of the mail since."""
    organization = OrganizationId(change.ledger_positions[0].organization)
    id = InvitationId(stored["id"])
    deliveries = await find_deliveries(change.session, organization, [id])
    return with_delivery(stored, deliveries.get(id), change.now)


@post("/v1/organizations/{organization:str}/invitations", operation_id="invite_member")
@partial(changes, repeated=repeated)
async def invite(
    change: OrganizationChange, service: ServiceDependency, data: JSONBody[NewInvitation]
) -> InvitationView:
    """Invite a person by mail. The mail with the link is sent after the commit."""
    life = timedelta(hours=data.expires_in_hours)
    key = service.keys.invitees
    letter = await offer.invite(change, data.email, distinct_roles(data), key, life)
    return await send(change, service, letter)


@get("/v1/organizations/{organization:str}/invitations", operation_id="list_invitations")
async def show_invitations(
    request: AnyRequest,
    organization: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    past_moment: PastMoment,
    status: FromQuery[InvitationStatus | None] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[InvitationView]:
    """List invitations, the newest first. With `at`, the list is as it was."""
    if past_moment is not None:
        then = await read_past(request, service, organization, past_moment, invitations_with_time)
        return past_page(
            [each for each in then if status is None or each[0].status(each[1]) is status],
            cursor,
            limit,
            lambda each: (each[0].created_at, each[0].id),
            lambda each: InvitationView.of(*each),
        )
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_invitations")
    now = await service.now()
    before = decode(cursor)
    async with service.reads() as session:
        rows = await list_invitations(
            session,
            id,
            status,
            now,
            (before[0], InvitationId(before[1])) if before else None,
            limit + 1,
        )
        deliveries = await find_deliveries(session, id, [row.id for row in rows])
        inviters = InvitationObstacles(service.reading, service.catalog)
        obstacles = await inviters.find_obstacles(session, id, rows[:limit], now)
    return page(
        rows,
        limit,
        lambda row: (row.created_at, row.id),
        lambda row: InvitationView.of(row, now, deliveries.get(row.id), obstacles.get(row.id)),
    )


@delete(
    "/v1/organizations/{organization:str}/invitations/{invitation:str}",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="cancel_invitation",
)
@changes
async def cancel_invitation(invitation: PathId, change: OrganizationChange) -> None:
    """Cancel a pending or expired invitation."""
    await offer.cancel(change, InvitationId(invitation))


@post(
    "/v1/organizations/{organization:str}/invitations/{invitation:str}/resend",
    status_code=HTTP_200_OK,
    operation_id="resend_invitation",
)
@partial(changes, repeated=repeated)
async def resend_invitation(
    invitation: PathId, change: OrganizationChange, service: ServiceDependency
) -> InvitationView:
    """Send an invitation again with a new link, as the caller. The previous link stops working."""
    letter = await offer.resend(change, InvitationId(invitation))
    return await send(change, service, letter)


@post("/v1/invitations/accept", status_code=HTTP_200_OK, operation_id="accept_invitation")
async def accept(
    request: AnyRequest, service: ServiceDependency, data: JSONBody[AcceptInvitation]
) -> Response[AcceptedView]:
    """Accept an invitation. A new person needs only the link. An existing user must sign in."""
    name = clean("name", data.name, LONGEST_NAME) if data.name is not None else None
    if isinstance(request.user, Operator):
        raise acceptance.AcceptsForSomebodyElse
    if not isinstance(request.auth, Claims | Login | None):
        raise OnlyInPerson
    attributed = attribution(request)
    async with service.reads() as session:
        offered = await acceptance.find_by_secret(session, data.token, await service.now())
    organization = offered.organization_id
    release_slot(request)
    try:
        async with service.ledger.change(attributed, organization) as change:
            signed_in = await still_signed_in(request, change)
            address = _address_of(signed_in, request.auth)
            user = await acceptance.accept(change, offered.id, data.token, signed_in, address, name)
            token = issue_access_token(
                service.keys, Audience.USER, user.id, change.now, LONGEST_LIFE
            )
            receipts = await service.ledger.commit(change)
    except (NotCommitted, OutcomeUnknown):
        raise  # these are not refusals
    except TeamaccessError as refused:
        request.scope["state"]["refusal_recorded"] = True
        await service.refusals.record(
            attributed, AcceptanceRefused(code=refused.code), organization, offered.id
        )
        raise
    return answer(AcceptedView(organization, user.id, token), receipts, HTTP_200_OK)


async def still_signed_in(request: AnyRequest, change: Change) -> User | None:
    """Lock and return the caller's row, or return None for an anonymous caller.

    Accepting starts a new session. If the caller ends all their sessions at the same time, the new one
    must end too. So ending sessions waits for this change, through the lock on the user's row.

    SECURITY: this change never waits for that lock, because it holds the organization's lock and the
    caller could keep their own row locked. Raises OrganizationBusy instead, and InvalidToken if the
    caller's sessions have ended.
    """
    if request.user is None:
        return None
    at_once = {"key_share": True, "nowait": True}
    with raise_busy_on_lock_timeout(
        *(ledger_position.organization for ledger_position in change.ledger_positions)
    ):
        user = await change.session.get_one(User, request.user.id, with_for_update=at_once)
    await recheck_credential(request, change)
    return user


def _address_of(user: User | None, credential: object) -> str | None:
    """Return the address that the credential vouches for."""
    if user is not None and isinstance(credential, Login):
        return verified_address(user, credential)
    return user.email if user is not None else None


async def send(change: Change, service: Service, letter: Letter) -> InvitationView:
    """Schedule the mail for after the commit. The view's `delivery` then says what became of it."""
    invitation = letter.invitation
    view = InvitationView.of(invitation, change.now)
    view.delivery, view.delivery_at = Delivery.PENDING, change.now
    organization = await change.session.get_one(Organization, invitation.organization_id)
    settings = service.settings
    mail = compose(letter, organization.name, settings.public_url, settings.mail_from)
    id = invitation.id

    async def after_commit() -> None:
        # the invitation is committed, and can be resent after any failure
        outcome = await send_mail(service.mailer, mail, invitation=id)
        view.delivery, view.delivery_problem = outcome.delivery, outcome.problem
        view.delivery_at = now = await service.now()
        await store_outcome(service.sessions, letter.mail, outcome, now)

    change.after_commit.append(after_commit)
    return view


def distinct_roles(data: NewInvitation) -> list[RoleId]:
    """Return the offered roles. Raises RoleTwice."""
    roles = [RoleId(each if isinstance(each, str) else each.role) for each in data.roles]
    for role in roles:
        if roles.count(role) > 1:
            raise RoleTwice(role=role)
    return roles


routes = [invite, show_invitations, cancel_invitation, resend_invitation, accept]
