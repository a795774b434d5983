"""What people do over the API, each with what must be true of the graph once it is acknowledged."""

from collections.abc import Iterable

from teamaccess.storage import UserId
from tests.faults.crowd import Crowd, House, Manner, Someone
from tests.faults.record import Deed


async def invite(
    crowd: Crowd, house: House, manner: Manner, whom: Someone, roles: list[str]
) -> Deed:
    """Offer somebody roles."""
    deed = Deed("invite", house.id)
    body = {"email": whom.address, "roles": roles}
    response = await crowd.do(deed, manner, "POST", f"{house.path}/invitations", body)
    if response is not None:
        id = response.json()["id"]
        deed.present = frozenset({_invitation(house, id)})
        house.invitations.append((id, whom))
    return deed


async def resend(crowd: Crowd, house: House, manner: Manner, invitation: str) -> Deed:
    """Send an invitation again."""
    deed = Deed("resend", house.id, present=frozenset({_invitation(house, invitation)}))
    await crowd.do(deed, manner, "POST", f"{house.path}/invitations/{invitation}/resend")
    return deed


async def cancel(crowd: Crowd, house: House, manner: Manner, invitation: str) -> Deed:
    """Take an invitation back."""
    deed = Deed("cancel", house.id, absent=frozenset({_invitation(house, invitation)}))
    await crowd.do(deed, manner, "DELETE", f"{house.path}/invitations/{invitation}")
    return deed


async def accept(crowd: Crowd, house: House, whom: Someone, manner: Manner) -> Deed:
    """Follow the link of the newest mail that came."""
    deed = Deed("accept", house.id)
    body = {"token": crowd.letters[whom.address][-1]}
    response = await crowd.do(deed, manner, "POST", "/v1/invitations/accept", body)
    if response is not None:
        told = response.json()
        whom.id = UserId(told["user"])
        deed.organization = told["organization"]
        joined = next(each for each in crowd.houses if each.id == deed.organization)
        if whom not in joined.people:
            joined.people.append(whom)
        deed.present = frozenset({_holds(joined, "member", whom)})
    return deed


async def change_roles(
    crowd: Crowd, house: House, manner: Manner, whom: Someone, roles: list[str]
) -> Deed:
    """Give somebody exactly these roles."""
    deed = Deed(
        "change_roles",
        house.id,
        present=frozenset(_holds(house, role, whom) for role in roles),
        absent=frozenset(_holds(house, role, whom) for role in {*crowd.roles} - {*roles}),
    )
    body = {"roles": [{"role": role} for role in roles]}
    await crowd.do(deed, manner, "PUT", f"{house.path}/members/{whom.id}/roles", body)
    return deed


async def suspend(crowd: Crowd, house: House, manner: Manner, whom: Someone) -> Deed:
    """Take everything from somebody for a while."""
    deed = _shut_out("suspend", house, whom)
    await crowd.do(deed, manner, "POST", f"{house.path}/members/{whom.id}/suspend")
    return deed


async def reactivate(crowd: Crowd, house: House, manner: Manner, whom: Someone) -> Deed:
    """Give it back."""
    deed = Deed("reactivate", house.id, present=frozenset({_holds(house, "member", whom)}))
    await crowd.do(deed, manner, "POST", f"{house.path}/members/{whom.id}/reactivate")
    return deed


async def remove(crowd: Crowd, house: House, manner: Manner, whom: Someone) -> Deed:
    """Show somebody the door."""
    deed = _shut_out("remove", house, whom)
    await crowd.do(deed, manner, "DELETE", f"{house.path}/members/{whom.id}")
    return deed


async def leave(crowd: Crowd, house: House, manner: Manner, whom: Someone) -> Deed:
    """Go."""
    deed = _shut_out("leave", house, whom)
    await crowd.do(deed, manner, "POST", f"{house.path}/leave")
    return deed


async def rename(crowd: Crowd, house: House, manner: Manner, name: str) -> Deed:
    """Call the organization something else, which changes nothing for anybody."""
    deed = Deed("rename", house.id)
    await crowd.do(deed, manner, "PATCH", house.path, {"name": name})
    return deed


async def acquaint(crowd: Crowd, apis: Iterable[str]) -> None:
    """Ask each API for something, until it has noticed that its old connections are gone."""
    house = crowd.houses[0]
    for api in apis:
        await rename(crowd, house, Manner(house.administrators[0], stubborn=True, api=api), api)


def _shut_out(verb: str, house: House, whom: Someone) -> Deed:
    return Deed(verb, house.id, absent=frozenset({_holds(house, "member", whom)}), removed=whom.id)


def _holds(house: House, relation: str, whom: Someone) -> str:
    return f"organization:{house.id}#{relation}@user:{whom.id}"


def _invitation(house: House, id: str) -> str:
    return f"invitation:{house.id}/{id}"
