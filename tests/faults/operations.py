"""Operations over the API, each with what must be in SpiceDB once it is acknowledged."""

import itertools
from collections.abc import Iterable

from teamaccess.storage import UserId
from tests.faults.clients import Clients, KnownOrganization, KnownPerson, RequestOptions
from tests.faults.operation_log import Operation

NUMBERS = itertools.count(1)


async def invite(
    clients: Clients,
    organization: KnownOrganization,
    options: RequestOptions,
    target: KnownPerson,
    roles: list[str],
) -> Operation:
    """Invite a person to roles."""
    operation = Operation("invite", organization.id)
    body = {"email": target.address, "roles": roles}
    response = await clients.perform(
        operation, options, "POST", f"{organization.path}/invitations", body
    )
    if response is not None:
        id = response.json()["id"]
        operation.present = frozenset({_invitation(organization, id)})
        organization.invitations.append((id, target))
    return operation


async def resend(
    clients: Clients, organization: KnownOrganization, options: RequestOptions, invitation: str
) -> Operation:
    """Send an invitation again."""
    operation = Operation(
        "resend", organization.id, present=frozenset({_invitation(organization, invitation)})
    )
    await clients.perform(
        operation, options, "POST", f"{organization.path}/invitations/{invitation}/resend"
    )
    return operation


async def cancel(
    clients: Clients, organization: KnownOrganization, options: RequestOptions, invitation: str
) -> Operation:
    """Take an invitation back."""
    operation = Operation(
        "cancel", organization.id, absent=frozenset({_invitation(organization, invitation)})
    )
    await clients.perform(
        operation, options, "DELETE", f"{organization.path}/invitations/{invitation}"
    )
    return operation


async def accept(
    clients: Clients, organization: KnownOrganization, target: KnownPerson, options: RequestOptions
) -> Operation:
    """Follow the link in the newest mail."""
    operation = Operation("accept", organization.id)
    body = {"token": clients.invitation_tokens[target.address][-1]}
    response = await clients.perform(operation, options, "POST", "/v1/invitations/accept", body)
    if response is not None:
        reported = response.json()
        target.id = UserId(reported["user"])
        operation.organization = reported["organization"]
        joined = next(each for each in clients.organizations if each.id == operation.organization)
        if target not in joined.people:
            joined.people.append(target)
        operation.present = frozenset({_holds(joined, "member", target)})
    return operation


async def change_roles(
    clients: Clients,
    organization: KnownOrganization,
    options: RequestOptions,
    target: KnownPerson,
    roles: list[str],
) -> Operation:
    """Replace a member's roles."""
    operation = Operation(
        "change_roles",
        organization.id,
        present=frozenset(_holds(organization, role, target) for role in roles),
        absent=frozenset(
            _holds(organization, role, target) for role in {*clients.roles} - {*roles}
        ),
    )
    body = {"roles": [{"role": role} for role in roles]}
    await clients.perform(
        operation, options, "PUT", f"{organization.path}/members/{target.id}/roles", body
    )
    return operation


async def suspend(
    clients: Clients, organization: KnownOrganization, options: RequestOptions, target: KnownPerson
) -> Operation:
    """Suspend a member."""
    operation = _ending_membership("suspend", organization, target)
    await clients.perform(
        operation, options, "POST", f"{organization.path}/members/{target.id}/suspend"
    )
    return operation


async def reactivate(
    clients: Clients, organization: KnownOrganization, options: RequestOptions, target: KnownPerson
) -> Operation:
    """Reactivate a suspended member."""
    operation = Operation(
        "reactivate", organization.id, present=frozenset({_holds(organization, "member", target)})
    )
    await clients.perform(
        operation, options, "POST", f"{organization.path}/members/{target.id}/reactivate"
    )
    return operation


async def remove(
    clients: Clients, organization: KnownOrganization, options: RequestOptions, target: KnownPerson
) -> Operation:
    """Remove a member."""
    operation = _ending_membership("remove", organization, target)
    await clients.perform(operation, options, "DELETE", f"{organization.path}/members/{target.id}")
    return operation


async def leave(
    clients: Clients, organization: KnownOrganization, options: RequestOptions, target: KnownPerson
) -> Operation:
    """Leave the organization."""
    operation = _ending_membership("leave", organization, target)
    await clients.perform(operation, options, "POST", f"{organization.path}/leave")
    return operation


async def rename(
    clients: Clients, organization: KnownOrganization, options: RequestOptions, name: str
) -> Operation:
    """Give the organization a new name, which changes no access.

    A number makes it new, because a name that it has already is no change and no event.
    """
    operation = Operation("rename", organization.id)
    body = {"name": f"{name} {next(NUMBERS)}"}
    await clients.perform(operation, options, "PATCH", organization.path, body)
    return operation


async def reconnect(clients: Clients, apis: Iterable[str]) -> None:
    """Call each API until it has noticed that its old connections are broken."""
    organization = clients.organizations[0]
    for api in apis:
        await rename(
            clients,
            organization,
            RequestOptions(organization.administrators[0], retry=True, api=api),
            api,
        )


def _ending_membership(
    verb: str, organization: KnownOrganization, target: KnownPerson
) -> Operation:
    return Operation(
        verb,
        organization.id,
        absent=frozenset({_holds(organization, "member", target)}),
        removed=target.id,
    )


def _holds(organization: KnownOrganization, relation: str, target: KnownPerson) -> str:
    return f"organization:{organization.id}#{relation}@user:{target.id}"


def _invitation(organization: KnownOrganization, id: str) -> str:
    return f"invitation:{organization.id}/{id}"
