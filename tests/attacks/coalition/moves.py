"""One random request of a member of the coalition, of anybody, or of somebody honest."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from tests.api.requests import ASKS, Route
from tests.attacks.coalition.bodies import BODIES, ONE
from tests.attacks.coalition.chance import Chance
from tests.attacks.coalition.draw import KEYS, Draw
from tests.attacks.coalition.graph import Place
from tests.attacks.coalition.judge import State
from tests.attacks.coalition.shop import BACKENDS
from tests.attacks.coalition.town import Move, Principal, Town

IN_PERSON = "Teamaccess-On-Behalf-Of"


def attack(town: Town, state: State, chance: Chance, route: str, step: int, now: datetime) -> Move:
    """A request to a route by one of the coalition, with any token it has or none.

    Mostly by somebody who holds what guards the route: who lacks it is refused before all else.
    """
    draw = Draw(town, chance, now)
    ready = [
        each
        for each in town.coalition
        if each.token and (each.token not in each.dead or chance.often(0.1))
    ]
    able = _able(ready, route, draw, state)
    if not able and chance.often(0.6):
        draw.organization = town.den  # where they may do everything
        able = _able(ready, route, draw, state)
    machines = [each for each in ready if each.account_of]
    backends = [each for each in machines if each.label in BACKENDS and chance.often(0.7)]
    by = chance.pick(able if able and chance.often(0.7) else ready)
    if machines and chance.often(0.15):
        by = chance.pick(backends or machines)
    draw.ask_as(by, state.get(draw.organization, Place()))
    draw.about["step"] = step
    move = _request(draw, route, by)
    _choose_token(move, chance)
    if move.by is not None:
        _choose_whom(move, town, chance, able)
    return move


def _able(ready: list[Principal], route: str, draw: Draw, state: State) -> list[Principal]:
    """Who holds in the organization what the route needs."""
    place, guard = state.get(draw.organization, Place()), _guard(draw.town, route, draw)
    return [each for each in ready if guard in place.of(each.id)]


def _guard(town: Town, route: str, draw: Draw) -> str:
    """The permission that a route needs; of those that need none, membership."""
    method, _, path = route.partition(" ")
    catalog = town.world.service.catalog
    action = catalog.guards.get(ASKS[Route(method, path)].needs)
    permission = catalog.actions[action].permission if action else "membership"
    return f"organization:{draw.organization}#{permission}"


def repeat(earlier: Move, town: Town, chance: Chance) -> Move:
    """An earlier request word for word, by whoever sent it or by somebody else."""
    by = earlier.by if chance.often(0.4) else chance.pick(town.coalition)
    about: dict[str, Any] = {
        key: earlier.about[key] for key in ("letter", "inviter") if key in earlier.about
    }
    move = Move(
        earlier.route,
        earlier.url,
        by,
        "",
        earlier.body,
        dict(earlier.headers),
        earlier.organization,
        about=about,
    )
    _choose_token(move, chance)
    if (name := move.headers.get(IN_PERSON)) is not None:
        move.on_behalf = _acted_for(town, move.by, name)
    return move


def _request(draw: Draw, route: str, by: Principal | None) -> Move:
    _method, _, path = route.partition(" ")
    _, build = BODIES[route]
    if route == f"PUT {ONE}/resources/{{type}}/{{resource}}":
        body = build(draw)  # says whether the object is new
        url = draw.url(path)
    else:
        url = draw.url(path)
        body = build(draw)
    if query := draw.about.get("query"):
        url += f"?{urlencode(query)}"
    organization = draw.organization.rstrip("/") if "{organization}" in route else ""
    move = Move(route, url, by, "", body, {}, organization, about=draw.about)
    if (letter := draw.about.get("letter")) is not None:
        move.organization = letter.organization
        move.about["inviter"] = draw.town.inviters.get(letter.invitation, "nobody")
        _choose_acceptor(move, draw)
    _choose_headers(move, draw)
    return move


def _choose_acceptor(move: Move, draw: Draw) -> None:
    """Mostly whom the invitation is for: they sign in if they have an account."""
    addressee = draw.town.with_email(draw.about["letter"].address)
    if draw.chance.often(0.85):
        move.by = addressee


def _choose_headers(move: Move, draw: Draw) -> None:
    chance = draw.chance
    if move.method == "POST" and chance.often(0.2):
        move.headers["Idempotency-Key"] = chance.pick(KEYS)
    if (etag := draw.about.get("if_match")) is not None:
        move.headers["If-Match"] = etag
    elif move.method == "PUT" and chance.often(0.25):
        known = [*draw.town.etags.get(move.url.removesuffix("/roles"), []), "*", '"stale"']
        move.headers["If-Match"] = chance.at(known)
    if "/audit/" in move.route and chance.often(0.2):
        move.headers["Accept"] = "text/csv"


def _choose_token(move: Move, chance: Chance) -> None:
    if move.by is None:
        return
    move.token = move.by.token
    if move.by.old and chance.often(0.08):
        move.token = move.by.old[-1] if chance.often(0.5) else move.by.old[0]
    elif chance.often(0.03):
        move.token = f"{move.token[:-2]}xx"
    if chance.often(0.02) or not move.token:
        move.by, move.token = None, ""


def _choose_whom(move: Move, town: Town, chance: Chance, able: list[Principal]) -> None:
    """A machine acts for others every other time, mostly for somebody who could do it."""
    machine = move.by is not None and bool(move.by.account_of)
    if not chance.often(0.55 if machine else 0.02):
        return
    people = [each for each in able if not each.account_of]
    whom = chance.pick(people if people and chance.often(0.75) else town.principals)
    name = whom.external_id if whom.external_id and chance.often(0.5) else str(whom.id)
    move.headers[IN_PERSON] = name
    move.on_behalf = _acted_for(town, move.by, name)


def _acted_for(town: Town, by: Principal | None, name: str) -> Principal | None:
    """Whom the header names; nobody but a machine can act for them."""
    if by is None or not by.account_of:
        return None
    found = town.with_id(name)
    return found or next((each for each in town.principals if each.external_id == name), None)
