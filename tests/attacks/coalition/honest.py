"""What the honest administrators do meanwhile: they give and take, within what they hold."""

from datetime import datetime, timedelta
from typing import Any

from tests.attacks.coalition.bodies import ACCOUNT, ONE
from tests.attacks.coalition.chance import Chance
from tests.attacks.coalition.draw import KEYS
from tests.attacks.coalition.graph import Place
from tests.attacks.coalition.judge import State
from tests.attacks.coalition.shop import BACKENDS, GIVEN_FREELY
from tests.attacks.coalition.town import Move, Principal, Thing, Town


def honest_move(town: Town, state: State, chance: Chance, step: int, now: datetime) -> Move:
    """Something that an administrator of the shop does, or of the victim.

    They give much, but neither administration nor the right to end the organization.
    """
    if chance.often(0.15):
        return _in_the_victims(town, chance, step)
    if chance.often(0.4) and (restored := _restore(town, state[town.shop], chance)) is not None:
        return restored
    shop, by = town.shop, town.named("ana")
    safe = _safe_roles(town)
    others = [each for each in town.coalition if each.label not in BACKENDS]
    whom = chance.pick([each for each in others if not each.audits_all])
    roles: list[Any] = [{"role": role, **_end(chance, now)} for role in chance.some(safe, 2)]
    match chance.number(0, 9):
        case 0 | 1:
            path = f"{ONE}/members/{{user}}/roles"
            return _move(f"PUT {path}", shop, by, {"roles": roles}, user=whom.id)
        case 2:
            email = whom.email or f"g{step}@{town.shop}.example"
            body = {"email": email, "roles": chance.some(safe, 2)}
            return _move(f"POST {ONE}/invitations", shop, by, body)
        case 3:
            verb = chance.pick(["suspend", "reactivate", "reactivate"])
            return _move(f"POST {ONE}/members/{{user}}/{verb}", shop, by, user=whom.id)
        case 4:
            return _move(f"DELETE {ONE}/members/{{user}}", shop, by, user=whom.id)
        case 5:
            asked = _any(town, chance, "access_request")
            route = f"POST {ONE}/access-requests/{{access_request}}/approve"
            return _move(route, shop, by, {"role": chance.pick(safe)}, access_request=asked)
        case 6:
            team = _any(town, chance, "team")
            return _move(f"PUT {ONE}/teams/{{team}}/roles", shop, by, {"roles": roles}, team=team)
        case 7:
            route = f"PUT {ONE}/teams/{{team}}/members/{{user}}"
            team = _any(town, chance, "team")
            return _move(route, shop, by, _end(chance, now) or None, team=team, user=whom.id)
        case 8:
            body = {"name": f"machine {step}", "roles": chance.some(safe, 2)}
            return _move(f"POST {ONE}/service-accounts", shop, by, body)
        case _:
            machine = _any(town, chance, "account")
            body = {"name": "handed to the coalition"}
            return _move(f"POST {ACCOUNT}/tokens", shop, by, body, account=machine)


def _restore(town: Town, shop: Place, chance: Chance) -> Move | None:
    """Give one of the coalition back what they have lost; without leads it can do little."""
    by, whom = town.named("ana"), town.named(chance.pick(["lea", "mal", "rex", "bob", "zoe"]))
    role = chance.pick(sorted(GIVEN_FREELY))
    if whom.id in shop.members():
        if any(edge.user == whom.id and edge.resource.startswith("role:") for edge in shop.graph):
            return None
        roles = {"roles": [{"role": role}]}
        return _move(f"PUT {ONE}/members/{{user}}/roles", town.shop, by, roles, user=whom.id)
    if any(edge.user == whom.id and edge.relation != "creator" for edge in shop.graph):
        return _move(f"POST {ONE}/members/{{user}}/reactivate", town.shop, by, user=whom.id)
    return _move(f"POST {ONE}/invitations", town.shop, by, {"email": whom.email, "roles": [role]})


def _in_the_victims(town: Town, chance: Chance, step: int) -> Move:
    """With the same Idempotency-Keys as the coalition uses."""
    by = town.named("vic")
    body = {"id": f"victim_{step}", "name": "A team"}
    move = _move(f"POST {ONE}/teams", town.victim, by, body)
    move.headers["Idempotency-Key"] = chance.pick(KEYS)
    return move


def _safe_roles(town: Town) -> list[str]:
    """Roles that an administrator would give to somebody else; those named so by the opening."""
    catalog = town.world.service.catalog
    own = [each.id for each in town.of("role", town.shop)]
    predefined = [id for id in catalog.roles if id != catalog.administrator]
    return [*predefined, *own]


def _end(chance: Chance, now: datetime) -> dict[str, str]:
    if chance.often(0.6):
        return {}
    return {"expires_at": (now + timedelta(hours=chance.number(1, 500))).isoformat()}


def _any(town: Town, chance: Chance, kind: str) -> str:
    found: list[Thing] = town.of(kind, town.shop)
    return chance.pick(found).id if found else f"no_{kind}"


def _move(route: str, organization: str, by: Principal, body: Any = None, **path: str) -> Move:
    url = route.partition(" ")[2].format(organization=organization, **path)
    return Move(route, url, by, by.token, body, {}, organization)
