"""Check permissions over HTTP, for services that do not use gRPC."""

from collections import defaultdict
from collections.abc import Sequence

from litestar import post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import UNSET

from teamaccess.api.identity.authentication import SignInRequired
from teamaccess.api.identity.callers import Caller, Operator
from teamaccess.api.requests.parameters import AnyRequest, ServiceDependency
from teamaccess.api.requests.throttling import count_extra
from teamaccess.common.errors import Invalid
from teamaccess.directory.resources.questions import question_about
from teamaccess.directory.users.find import UnknownUser, resolve_member
from teamaccess.engine import Question
from teamaccess.relationships import user as user_object
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, User, UserId, is_local_id
from teamaccess.views.checks import CheckInput, ChecksInput, ChecksView, CheckView


class NobodyToCheck(Invalid):
    """An operator asked for a check without naming a user. Operators have no membership to check."""

    message = "Name the user to check as `user`: operators are not members."


@post("/v1/check", status_code=HTTP_200_OK, operation_id="check_permissions")
async def check(
    request: AnyRequest, service: ServiceDependency, data: JSONBody[ChecksInput]
) -> ChecksView:
    """Check permissions. The answers include every change that is in force in its organization."""
    # SECURITY: each check costs as much as a request, so each one counts against the caller's rate
    await count_extra(request, len(data.checks) - 1)
    by_organization: dict[OrganizationId, list[int]] = defaultdict(list)
    for index, each in enumerate(data.checks):
        by_organization[OrganizationId(each.organization)].append(index)
    answers: dict[int, CheckView] = {}
    for organization, indexes in by_organization.items():
        group = [data.checks[index] for index in indexes]
        views = await _answers_about(service, request.user, organization, group)
        answers.update(zip(indexes, views, strict=True))
    return ChecksView([answers[index] for index in sorted(answers)])


async def _answers_about(
    service: Service, caller: Caller, organization: OrganizationId, checks: Sequence[CheckInput]
) -> list[CheckView]:
    """Return the answers about one organization, if the caller may ask these questions."""
    users = await _users_asked_about(service, caller, organization, checks)
    await _require_may_ask(service, caller, organization, users)
    for user in users:
        if not is_local_id(user):
            raise UnknownUser(user=user)
    objects = [
        question_about(service.catalog, organization, each.action, each.resource or None)
        for each in checks
    ]
    questions = [
        Question(on, permission, user_object(user))
        for (on, permission), user in zip(objects, users, strict=True)
    ]
    answers, token = await service.reading.answers(organization, questions)
    return [
        CheckView(
            organization=organization,
            user=user,
            action=each.action,
            resource=str(on) if each.resource is not UNSET else None,
            allowed=allowed,
            zed_token=token,
        )
        for each, (on, _), user, allowed in zip(checks, objects, users, answers, strict=True)
    ]


async def _require_may_ask(
    service: Service, caller: Caller, organization: OrganizationId, users: Sequence[UserId]
) -> None:
    """Raise UnknownOrganization if the caller is not a member.

    Raises MissingPermission if the caller asks about other users without `view_audit`.
    """
    if isinstance(caller, User):
        if set(users) == {caller.id}:
            await service.reading.require_membership(organization, caller.id)
        else:
            await service.reading.require(organization, caller.id, "view_audit")


async def _users_asked_about(
    service: Service, caller: Caller, organization: OrganizationId, checks: Sequence[CheckInput]
) -> list[UserId]:
    """Return the user that each check names by id, e-mail address or external id."""
    named = [_user_asked_about(caller, each) for each in checks]
    async with service.reads() as session:
        return [await resolve_member(session, organization, each) for each in named]


def _user_asked_about(caller: Caller, each: CheckInput) -> UserId:
    """Return the user that the check names, by default the caller."""
    if not isinstance(caller, User | Operator):
        raise SignInRequired
    if each.user is UNSET:
        if isinstance(caller, Operator):
            raise NobodyToCheck
        return caller.id
    return UserId(each.user)


routes = [check]
