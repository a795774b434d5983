"""Whatever a member can ask of the API. What it gives to whom is for others to judge.

A move returns who has given, where it was done and gave something: the one who asked, or who invited.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from teamaccess.models import UserId
from tests.escalation.arena import Arena
from tests.world import Person


@dataclass
class Move:
    """One request that was answered."""

    answer: httpx.Response
    givers: tuple[UserId, ...]
    """Whose powers together are the limit: of who asked, and of whom they act for."""
    handed: frozenset[str] = frozenset()
    """Actions that it hands to somebody who has no account yet, or to the one who asks, as a token."""
    registered: frozenset[str] = frozenset()
    """Objects that it has registered, which is no giving."""

    @property
    def done(self) -> bool:
        """Whether anything came of it."""
        return self.answer.is_success


Doer = Callable[[Arena, Person], Awaitable[Move | None]]


async def invite(arena: Arena, by: Person) -> Move:
    name, roles = arena.chance.choice(arena.guests), arena.some_roles()
    body = {"email": arena.team.address(name), "roles": roles}
    answer = await by.ask("POST", f"{arena.team.path}/invitations", json=body)
    if answer.is_success:
        arena.invitations.append(answer.json()["id"])
    return Move(answer, (by.id,), handed=await meant_by(arena, roles))


async def resend(arena: Arena, by: Person) -> Move | None:
    if not arena.invitations:
        return None
    id = arena.chance.choice(arena.invitations)
    answer = await by.ask("POST", f"{arena.team.path}/invitations/{id}/resend")
    roles = answer.json()["roles"] if answer.is_success else []
    return Move(answer, (by.id,), handed=await meant_by(arena, roles))


async def accept(arena: Arena, by: Person) -> Move | None:
    """Somebody accepts the newest mail; who gives is the inviter."""
    name = arena.chance.choice(arena.guests)
    address = arena.team.address(name)
    if not arena.team.world.mails_to(address):
        return None
    known = next((each for each in arena.people if each.email == address), None)
    headers = {"Authorization": f"Bearer {known.token}"} if known is not None else {}
    answer = await arena.team.accept(name, headers=headers)
    inviter = UserId("nobody")
    if answer.is_success:
        user = UserId(answer.json()["user"])
        if known is None:
            arena.people.append(
                Person(arena.team.world, user, address, answer.json()["access_token"])
            )
        invitations = await arena.team.administrator.ask(
            "GET", f"{arena.team.path}/invitations?status=accepted"
        )
        inviter = next(
            UserId(each["invited_by"])
            for each in invitations.json()["items"]
            if each["email"] == address
        )
    return Move(answer, (inviter,))


async def change_roles(arena: Arena, by: Person) -> Move:
    whom = arena.chance.choice(arena.people)
    wanted = [{"role": role, **await an_end(arena)} for role in arena.some_roles(3)]
    path = f"{arena.team.path}/members/{whom.id}/roles"
    return Move(await by.ask("PUT", path, json={"roles": wanted}), (by.id,))


async def change_end(arena: Arena, by: Person) -> Move:
    whom = arena.chance.choice(arena.people)
    body = {"expires_at": None, **await an_end(arena)}
    return Move(await by.ask("PATCH", f"{arena.team.path}/members/{whom.id}", json=body), (by.id,))


async def act(arena: Arena, by: Person) -> Move:
    whom = arena.chance.choice(arena.people)
    verb = arena.chance.choice(["suspend", "reactivate", "reactivate", "remove"])
    path = f"{arena.team.path}/members/{whom.id}"
    if verb == "remove":
        answer = await by.ask("DELETE", path)
    else:
        answer = await by.ask("POST", f"{path}/{verb}")
    await sign_in_again(arena, whom, answer)
    return Move(answer, (by.id,))


async def make_role(arena: Arena, by: Person) -> Move:
    id = arena.next("role")
    body: dict[str, Any] = {"id": id, "name": id}
    if arena.chance.random() < 0.2:
        body["clone_of"] = arena.some_roles(1)[0]
    else:
        body["actions"] = arena.some_actions()
    answer = await by.ask("POST", f"{arena.team.path}/roles", json=body)
    if answer.is_success:
        arena.roles.append(id)
    return Move(answer, (by.id,))


async def change_role(arena: Arena, by: Person) -> Move | None:
    if not arena.roles:
        return None
    id = arena.chance.choice(arena.roles)
    body = {"id": id, "name": id, "actions": arena.some_actions()}
    return Move(await by.ask("PUT", f"{arena.team.path}/roles/{id}", json=body), (by.id,))


async def delete_role(arena: Arena, by: Person) -> Move | None:
    if not arena.roles:
        return None
    id, instead = arena.chance.choice(arena.roles), ["none", *arena.some_roles()]
    path = f"{arena.team.path}/roles/{id}?reassign={arena.chance.choice(instead)}"
    answer = await by.ask("DELETE", path)
    if answer.is_success:
        arena.roles.remove(id)
    return Move(answer, (by.id,))


async def make_team(arena: Arena, by: Person) -> Move:
    id = arena.next("team")
    answer = await by.ask("POST", f"{arena.team.path}/teams", json={"id": id, "name": id})
    if answer.is_success:
        arena.teams.append(id)
    return Move(answer, (by.id,))


async def delete_team(arena: Arena, by: Person) -> Move | None:
    if not arena.teams:
        return None
    id = arena.chance.choice(arena.teams)
    answer = await by.ask("DELETE", f"{arena.team.path}/teams/{id}")
    if answer.is_success:
        arena.teams.remove(id)
    return Move(answer, (by.id,))


async def join_team(arena: Arena, by: Person) -> Move | None:
    if not arena.teams:
        return None
    whom, id = arena.chance.choice(arena.people), arena.chance.choice(arena.teams)
    path = f"{arena.team.path}/teams/{id}/members/{whom.id}"
    return Move(await by.ask("PUT", path, json=await an_end(arena)), (by.id,))


async def quit_team(arena: Arena, by: Person) -> Move | None:
    if not arena.teams:
        return None
    whom, id = arena.chance.choice(arena.people), arena.chance.choice(arena.teams)
    path = f"{arena.team.path}/teams/{id}/members/{whom.id}"
    return Move(await by.ask("DELETE", path), (by.id,))


async def give_team(arena: Arena, by: Person) -> Move | None:
    if not arena.teams:
        return None
    id = arena.chance.choice(arena.teams)
    wanted = [{"role": role, **await an_end(arena)} for role in arena.some_roles()]
    path = f"{arena.team.path}/teams/{id}/roles"
    return Move(await by.ask("PUT", path, json={"roles": wanted}), (by.id,))


async def register(arena: Arena, by: Person) -> Move | None:
    types = arena.team.world.service.catalog.types
    if not types:
        return None
    kind = arena.chance.choice(list(types))
    new = not arena.objects or arena.chance.random() < 0.7
    id = arena.next("thing") if new else arena.chance.choice(arena.objects)[1]
    body = {"creator": arena.chance.choice(arena.people).id} if types[kind].demands_creator else {}
    answer = await by.ask("PUT", f"{arena.team.path}/resources/{kind}/{id}", json=body)
    if answer.is_success and (kind, id) not in arena.objects:
        arena.objects.append((kind, id))
    return Move(answer, (by.id,), registered=frozenset({f"{kind}:{arena.team.id}/{id}"}))


async def unregister(arena: Arena, by: Person) -> Move | None:
    if not arena.objects:
        return None
    kind, id = arena.chance.choice(arena.objects)
    return Move(await by.ask("DELETE", f"{arena.team.path}/resources/{kind}/{id}"), (by.id,))


async def grant(arena: Arena, by: Person) -> Move | None:
    if not arena.objects:
        return None
    kind, id = arena.chance.choice(arena.objects)
    verbs = list(arena.team.world.service.catalog.types[kind].actions)
    holder = (
        {"team": arena.chance.choice(arena.teams)}
        if arena.teams and arena.chance.random() < 0.4
        else {"user": arena.chance.choice(arena.people).id}
    )
    wanted = [{"action": arena.chance.choice(verbs), **holder, **await an_end(arena)}]
    path = f"{arena.team.path}/resources/{kind}/{id}/grants"
    return Move(await by.ask("PUT", path, json={"grants": wanted}), (by.id,))


async def request(arena: Arena, by: Person) -> Move:
    wanted = (
        {"role": arena.some_roles(1)[0]}
        if arena.chance.random() < 0.7
        else {"action": arena.some_actions()[0]}
    )
    body = {**wanted, "reason": "I want it", "duration_hours": 2}
    answer = await by.ask("POST", f"{arena.team.path}/access-requests", json=body)
    if answer.is_success:
        arena.requests.append(answer.json()["id"])
    return Move(answer, (by.id,))


async def approve(arena: Arena, by: Person) -> Move | None:
    if not arena.requests:
        return None
    id = arena.chance.choice(arena.requests)
    body = {"role": arena.some_roles(1)[0]} if arena.chance.random() < 0.3 else {}
    path = f"{arena.team.path}/access-requests/{id}/approve"
    return Move(await by.ask("POST", path, json=body), (by.id,))


async def make_machine(arena: Arena, by: Person) -> Move:
    body = {"name": arena.next("machine"), "roles": arena.some_roles()}
    answer = await by.ask("POST", f"{arena.team.path}/service-accounts", json=body)
    if answer.is_success:
        machine = Person(arena.team.world, UserId(answer.json()["id"]), "", "none")
        arena.machines.append(machine)
        arena.people.append(machine)
    return Move(answer, (by.id,))


async def make_token(arena: Arena, by: Person) -> Move | None:
    """Whoever has the secret can do all that the machine can."""
    if not arena.machines:
        return None
    machine = arena.chance.choice(arena.machines)
    path = f"{arena.team.path}/service-accounts/{machine.id}/tokens"
    answer = await by.ask("POST", path, json={"name": "a token"})
    return await handed_over(arena, by, machine, answer)


async def rotate_token(arena: Arena, by: Person) -> Move | None:
    if not arena.tokens:
        return None
    machine, token = arena.chance.choice(arena.tokens)
    path = f"{arena.team.path}/service-accounts/{machine.id}/tokens/{token}/rotate"
    return await handed_over(arena, by, machine, await by.ask("POST", path, json={}))


async def on_behalf(arena: Arena, by: Person) -> Move | None:
    """A machine changes somebody's roles in somebody's name."""
    if by not in arena.machines:
        return None
    whom, name = arena.chance.choice(arena.people), arena.chance.choice(arena.people)
    path = f"{arena.team.path}/members/{whom.id}/roles"
    answer = await by.ask(
        "PUT",
        path,
        json={"roles": [{"role": role} for role in arena.some_roles()]},
        headers={"Teamaccess-On-Behalf-Of": name.id},
    )
    return Move(answer, (by.id, name.id))


async def found(arena: Arena, by: Person) -> Move:
    """An organization of one's own says nothing about this one; where only operators may, nobody can."""
    id = f"{arena.team.id[:40]}-{arena.next('own').replace('_', '-')}"
    answer = await by.ask("POST", "/v1/organizations", json={"id": id, "name": "Own"})
    return Move(answer, (by.id,))


async def handed_over(arena: Arena, by: Person, machine: Person, answer: httpx.Response) -> Move:
    """The secret of a machine's token has come to somebody."""
    handed: frozenset[str] = frozenset()
    if answer.is_success:
        told = answer.json()
        machine.token = told["secret"]
        arena.tokens.append((machine, told["id"]))
        handed = (await arena.powers())[machine.id]
    return Move(answer, (by.id,), handed=handed)


async def meant_by(arena: Arena, roles: list[str]) -> frozenset[str]:
    """What roles allow, as the API tells of them."""
    allowed: set[str] = set()
    catalog = arena.team.world.service.catalog
    for role in roles:
        if role in catalog.roles:
            allowed |= catalog.roles[role].actions
        else:
            answer = await arena.team.administrator.ask("GET", f"{arena.team.path}/roles/{role}")
            if answer.is_success:
                allowed |= set(answer.json()["actions"])
    return frozenset(allowed)


async def an_end(arena: Arena) -> dict[str, str]:
    """An end, or none."""
    if arena.chance.random() < 0.6:
        return {}
    now = await arena.team.world.service.now()
    return {"expires_at": (now + timedelta(days=arena.chance.randint(1, 300))).isoformat()}


async def sign_in_again(arena: Arena, whom: Person, answer: httpx.Response) -> None:
    """Whoever was signed out comes back at once, and may not more by that."""
    if answer.is_success and whom not in arena.machines:
        whom.token = await arena.team.world.token(whom.id)


MOVES: list[Doer] = [
    invite,
    resend,
    accept,
    change_roles,
    change_end,
    act,
    make_role,
    change_role,
    delete_role,
    make_team,
    delete_team,
    join_team,
    quit_team,
    give_team,
    register,
    unregister,
    grant,
    request,
    approve,
    make_machine,
    make_token,
    rotate_token,
    on_behalf,
    found,
]
