"""What people do to organizations through the API. Numbers choose among whatever there is."""

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
    """When a role ends."""

    NEVER = "never"
    TOMORROW = "tomorrow"
    NEXT_YEAR = "next year"


LATER = {RoleEnd.TOMORROW: timedelta(days=1), RoleEnd.NEXT_YEAR: timedelta(days=365)}
NOTHING = "nothing to do it with"


async def invite(
    simulation: Simulation,
    organization: Organization,
    by: Person,
    invitee: Invitee,
    roles: list[str],
) -> str:
    """Offer somebody roles."""
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
    """Present the secret of any mail, signed in as oneself or, wrongly, as somebody else."""
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
    whom: Person,
    roles: dict[str, RoleEnd],
) -> str:
    """Give somebody exactly these roles."""
    now = await simulation.deployment.service.now()
    wanted = [
        {"role": role, "expires_at": (now + LATER[end]).isoformat() if end in LATER else None}
        for role, end in roles.items()
    ]
    path = f"{organization.path}/members/{whom.id}/roles"
    return simulation.record_answer(organization, await by.ask("PUT", path, json={"roles": wanted}))


async def change_status(
    simulation: Simulation, organization: Organization, by: Person, whom: Person, verb: str
) -> str:
    """Suspend, reactivate or remove somebody; those removed sign in again."""
    return await _sessions_ended(
        simulation, organization, whom, await organization.change_status(verb, whom, by=by)
    )


async def leave(simulation: Simulation, organization: Organization, who: Person) -> str:
    """Go."""
    return await _sessions_ended(
        simulation, organization, who, await who.ask("POST", f"{organization.path}/leave")
    )


async def rename(simulation: Simulation, organization: Organization, by: Person) -> str:
    """Give the organization another name, which is no change of who may do what."""
    return simulation.record_answer(
        organization, await by.ask("PATCH", organization.path, json={"name": "Another"})
    )


async def delete_organization(
    simulation: Simulation, organization: Organization, by: Person
) -> str:
    """End the organization; another one is founded in its place."""
    answer = await by.ask("DELETE", organization.path)
    if answer.is_success:
        simulation.organizations.remove(organization)
        simulation.deleted.append(organization)
        await simulation.create_organization("phoenix")
    return simulation.record_answer(organization, answer)


async def create_organization(simulation: Simulation, by: Person) -> str:
    """Found an organization, where everybody may."""
    id = OrganizationId(f"own-{secrets.token_hex(4)}")
    answer = await by.ask("POST", "/v1/organizations", json={"id": id, "name": "Own"})
    organization = Organization(simulation.deployment, id, by)
    if answer.is_success:
        simulation.organizations.append(organization)
    return simulation.record_answer(organization, answer)


async def grant_administrator_role(
    simulation: Simulation, organization: Organization, invitee: Invitee
) -> str:
    """Make somebody administrator, as an operator."""
    ledger = simulation.deployment.service.ledger
    try:
        async with ledger.change(OPERATOR, organization.id) as change:
            membership = await grant_administrator(
                change, organization.id, invitee.address, "as agreed"
            )
            simulation.record_receipts(await ledger.commit(change))
    except OrganizationBusy:
        return simulation.proxy_failure()
    if invitee.person is None:
        token = await simulation.deployment.token(membership.user_id)
        invitee.person = Person(simulation.deployment, membership.user_id, invitee.address, token)
    return "granted"


async def sweep(simulation: Simulation, organization: Organization) -> str:
    """End what has come to its end there, as a worker does; who is out by that signs in again."""
    try:
        ended = await end_due(simulation.deployment.service.ledger, organization.id)
    except OrganizationBusy:
        return simulation.proxy_failure()
    if ended and simulation.proxy.writes is Writes.FAIL:
        simulation.behind.add(organization.id)
    for person in simulation.people(organization):
        person.token = await simulation.deployment.token(person.id)
    return f"{ended} ended"


async def _sessions_ended(
    simulation: Simulation, organization: Organization, whom: Person, answer: httpx.Response
) -> str:
    if answer.is_success:
        whom.token = await simulation.deployment.token(whom.id)
    return simulation.record_answer(organization, answer)
