"""Operations on organizations and members over the API. Numbers choose among what exists."""

import secrets
from datetime import timedelta
from enum import StrEnum

import httpx

from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.ledger import OrganizationBusy
from teamaccess.storage import OrganizationId, UserId
from teamaccess.upkeep.worker.ends import end_due
from tests.histories.simulation import Invitee, Simulation
from tests.support.deployment import OPERATOR
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import Writes


class RoleEnd(StrEnum):
    """When a role expires."""

    NEVER = "never"
    TOMORROW = "tomorrow"
    NEXT_YEAR = "next year"


LATER = {RoleEnd.TOMORROW: timedelta(days=1), RoleEnd.NEXT_YEAR: timedelta(days=365)}
NOTHING = "nothing to act on"


async def invite(
    simulation: Simulation,
    organization: Organization,
    by: Person,
    invitee: Invitee,
    roles: list[str],
) -> str:
    """Invite a person to roles."""
    body = {"email": invitee.address, "roles": roles}
    answer = await by.ask("POST", f"{organization.path}/invitations", json=body)
    simulation.read_mails()
    return simulation.record_answer(organization, answer)


async def resend(simulation: Simulation, organization: Organization, by: Person, which: int) -> str:
    """Send an invitation again."""
    if found := await simulation.invitations(organization):
        path = f"{organization.path}/invitations/{found[which % len(found)]}/resend"
        answer = await by.ask("POST", path)
        simulation.read_mails()
        return simulation.record_answer(organization, answer)
    return NOTHING


async def cancel(simulation: Simulation, organization: Organization, by: Person, which: int) -> str:
    """Take an invitation back."""
    if found := await simulation.invitations(organization):
        path = f"{organization.path}/invitations/{found[which % len(found)]}"
        return simulation.record_answer(organization, await by.ask("DELETE", path))
    return NOTHING


async def accept(
    simulation: Simulation, invitee: Invitee, which: int, stranger: Invitee | None
) -> str:
    """Accept with the token of any mail, signed in as the invitee or, wrongly, as another person."""
    if not invitee.secrets:
        return NOTHING
    who = (stranger or invitee).person
    headers = {"Authorization": f"Bearer {who.token}"} if who is not None else {}
    secret = invitee.secrets[which % len(invitee.secrets)]
    answer = await simulation.deployment.http.post(
        "/v1/invitations/accept", json={"token": secret}, headers=headers
    )
    body = answer.json()
    organization = next(
        (each for each in simulation.organizations if each.id == body.get("organization")),
        simulation.organizations[0],
    )
    if answer.is_success:
        user = UserId(body["user"])
        assert invitee.person is None or invitee.person.id == user
        invitee.person = Person(simulation.deployment, user, invitee.address, body["access_token"])
    return simulation.record_answer(organization, answer)


async def change_roles(
    simulation: Simulation,
    organization: Organization,
    by: Person,
    target: Person,
    roles: dict[str, RoleEnd],
) -> str:
    """Replace a member's roles."""
    now = await simulation.deployment.service.now()
    wanted = [
        {"role": role, "expires_at": (now + LATER[end]).isoformat() if end in LATER else None}
        for role, end in roles.items()
    ]
    path = f"{organization.path}/members/{target.id}/roles"
    return simulation.record_answer(organization, await by.ask("PUT", path, json={"roles": wanted}))


async def change_status(
    simulation: Simulation, organization: Organization, by: Person, target: Person, verb: str
) -> str:
    """Suspend, reactivate or remove a member. Removed members sign in again."""
    return await _record_and_sign_in_again(
        simulation, organization, target, await organization.change_status(verb, target, by=by)
    )


async def leave(simulation: Simulation, organization: Organization, who: Person) -> str:
    """End the person's own membership."""
    return await _record_and_sign_in_again(
        simulation, organization, who, await who.ask("POST", f"{organization.path}/leave")
    )


async def rename(simulation: Simulation, organization: Organization, by: Person) -> str:
    """Rename the organization, which changes no access."""
    return simulation.record_answer(
        organization, await by.ask("PATCH", organization.path, json={"name": "Another"})
    )


async def delete_organization(
    simulation: Simulation, organization: Organization, by: Person
) -> str:
    """Delete the organization, and create another one."""
    answer = await by.ask("DELETE", organization.path)
    if answer.is_success:
        simulation.organizations.remove(organization)
        simulation.deleted.append(organization)
        await simulation.create_organization("phoenix")
    return simulation.record_answer(organization, answer)


async def create_organization(simulation: Simulation, by: Person) -> str:
    """Create an organization if the catalog allows it."""
    id = OrganizationId(f"own-{secrets.token_hex(4)}")
    answer = await by.ask("POST", "/v1/organizations", json={"id": id, "name": "Own"})
    organization = Organization(simulation.deployment, id, by)
    if answer.is_success:
        simulation.organizations.append(organization)
    return simulation.record_answer(organization, answer)


async def grant_administrator_role(
    simulation: Simulation, organization: Organization, invitee: Invitee
) -> str:
    """Make a person an administrator, as an operator does."""
    ledger = simulation.deployment.service.ledger
    try:
        async with ledger.change(OPERATOR, organization.id) as change:
            membership = await grant_administrator(
                change, organization.id, invitee.address, "as agreed"
            )
            simulation.record_receipts(await ledger.commit(change))
    except OrganizationBusy:
        return simulation.assert_proxy_fails()
    if invitee.person is None:
        token = await simulation.deployment.token(membership.user_id)
        invitee.person = Person(simulation.deployment, membership.user_id, invitee.address, token)
    return "granted"


async def sweep(simulation: Simulation, organization: Organization) -> str:
    """Sweep expired rows, as a worker does. People whose membership ended sign in again."""
    try:
        ended = await end_due(simulation.deployment.service.ledger, organization.id)
    except OrganizationBusy:
        return simulation.assert_proxy_fails()
    if ended and simulation.proxy.writes is Writes.FAIL:
        simulation.behind.add(organization.id)
    for person in simulation.people(organization):
        person.token = await simulation.deployment.token(person.id)
    return f"{ended} ended"


async def _record_and_sign_in_again(
    simulation: Simulation, organization: Organization, target: Person, answer: httpx.Response
) -> str:
    """Record the answer. If it is a success, it may have ended the target's sessions."""
    if answer.is_success:
        target.token = await simulation.deployment.token(target.id)
    return simulation.record_answer(organization, answer)
