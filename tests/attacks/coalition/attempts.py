"""One random request of a coalition member, of an anonymous caller, or of an honest person."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from tests.api.requests import VALID_REQUESTS, Route
from tests.attacks.coalition.escalation_checks import State
from tests.attacks.coalition.request_bodies import BODIES, ORGANIZATION
from tests.attacks.coalition.request_choices import KEYS, RequestChoices
from tests.attacks.coalition.scenario import Attempt, Principal, Scenario
from tests.attacks.coalition.seeded_choices import SeededChoices
from tests.attacks.coalition.snapshots import OrganizationSnapshot
from tests.attacks.coalition.workplace import BACKENDS

ON_BEHALF_OF = "Teamaccess-On-Behalf-Of"


def attack(
    scenario: Scenario, state: State, seeded: SeededChoices, route: str, step: int, now: datetime
) -> Attempt:
    """A request to a route by a coalition member, with any of their tokens or none.

    The caller mostly holds the guard of the route, because a request without it is refused first.
    """
    choices = RequestChoices(scenario, seeded, now)
    ready = [
        each
        for each in scenario.coalition
        if each.token and (each.token not in each.ended_tokens or seeded.chance(0.1))
    ]
    able = _able(ready, route, choices, state)
    if not able and seeded.chance(0.6):
        choices.organization = (
            scenario.own_organization
        )  # an organization in which they may do everything
        able = _able(ready, route, choices, state)
    accounts = [each for each in ready if each.account_of]
    backends = [each for each in accounts if each.label in BACKENDS and seeded.chance(0.7)]
    by = seeded.pick(able if able and seeded.chance(0.7) else ready)
    if accounts and seeded.chance(0.15):
        by = seeded.pick(backends or accounts)
    choices.ask_as(by, state.get(choices.organization, OrganizationSnapshot()))
    choices.about["step"] = step
    attempt = _request(choices, route, by)
    _choose_token(attempt, seeded)
    if attempt.by is not None:
        _choose_member_acted_for(attempt, scenario, seeded, able)
    return attempt


def _able(
    ready: list[Principal], route: str, choices: RequestChoices, state: State
) -> list[Principal]:
    """The principals who hold what the route needs."""
    snapshot, guard = (
        state.get(choices.organization, OrganizationSnapshot()),
        _guard(choices.scenario, route, choices),
    )
    return [each for each in ready if guard in snapshot.of(each.id)]


def _guard(scenario: Scenario, route: str, choices: RequestChoices) -> str:
    """The permission that a route needs; of those that need none, membership."""
    method, _, path = route.partition(" ")
    catalog = scenario.deployment.service.catalog
    action = catalog.guards.get(VALID_REQUESTS[Route(method, path)].needs)
    permission = catalog.actions[action].permission if action else "membership"
    return f"organization:{choices.organization}#{permission}"


def repeat_attempt(earlier: Attempt, scenario: Scenario, seeded: SeededChoices) -> Attempt:
    """An earlier request, repeated exactly by the same caller or by another."""
    by = earlier.by if seeded.chance(0.4) else seeded.pick(scenario.coalition)
    about: dict[str, Any] = {
        key: earlier.about[key] for key in ("letter", "inviter") if key in earlier.about
    }
    attempt = Attempt(
        earlier.route,
        earlier.url,
        by,
        "",
        earlier.body,
        dict(earlier.headers),
        earlier.organization,
        about=about,
    )
    _choose_token(attempt, seeded)
    if (name := attempt.headers.get(ON_BEHALF_OF)) is not None:
        attempt.on_behalf = _member_acted_for(scenario, attempt.by, name)
    return attempt


def _request(choices: RequestChoices, route: str, by: Principal | None) -> Attempt:
    _method, _, path = route.partition(" ")
    _, build = BODIES[route]
    if route == f"PUT {ORGANIZATION}/resources/{{type}}/{{resource}}":
        body = build(choices)  # whether the resource is new
        url = choices.url(path)
    else:
        url = choices.url(path)
        body = build(choices)
    if query := choices.about.get("query"):
        url += f"?{urlencode(query)}"
    organization = choices.organization.rstrip("/") if "{organization}" in route else ""
    attempt = Attempt(route, url, by, "", body, {}, organization, about=choices.about)
    if (letter := choices.about.get("letter")) is not None:
        attempt.organization = letter.organization
        attempt.about["inviter"] = choices.scenario.inviters.get(letter.invitation, "nobody")
        _choose_acceptor(attempt, choices)
    _choose_headers(attempt, choices)
    return attempt


def _choose_acceptor(attempt: Attempt, choices: RequestChoices) -> None:
    """Choose the acceptor, mostly the invitee, who signs in if they have an account."""
    addressee = choices.scenario.with_email(choices.about["letter"].address)
    if choices.seeded.chance(0.85):
        attempt.by = addressee


def _choose_headers(attempt: Attempt, choices: RequestChoices) -> None:
    seeded = choices.seeded
    if attempt.method == "POST" and seeded.chance(0.2):
        attempt.headers["Idempotency-Key"] = seeded.pick(KEYS)
    if (etag := choices.about.get("if_match")) is not None:
        attempt.headers["If-Match"] = etag
    elif attempt.method == "PUT" and seeded.chance(0.25):
        known = [
            *choices.scenario.etags.get(attempt.url.removesuffix("/roles"), []),
            "*",
            '"stale"',
        ]
        attempt.headers["If-Match"] = seeded.at(known)
    if "/audit/" in attempt.route and seeded.chance(0.2):
        attempt.headers["Accept"] = "text/csv"


def _choose_token(attempt: Attempt, seeded: SeededChoices) -> None:
    if attempt.by is None:
        return
    attempt.token = attempt.by.token
    if attempt.by.old and seeded.chance(0.08):
        attempt.token = attempt.by.old[-1] if seeded.chance(0.5) else attempt.by.old[0]
    elif seeded.chance(0.03):
        attempt.token = f"{attempt.token[:-2]}xx"
    if seeded.chance(0.02) or not attempt.token:
        attempt.by, attempt.token = None, ""


def _choose_member_acted_for(
    attempt: Attempt, scenario: Scenario, seeded: SeededChoices, able: list[Principal]
) -> None:
    """Let a service account act for others half of the time, mostly for a member who may do it."""
    account = attempt.by is not None and bool(attempt.by.account_of)
    if not seeded.chance(0.55 if account else 0.02):
        return
    people = [each for each in able if not each.account_of]
    target = seeded.pick(people if people and seeded.chance(0.75) else scenario.principals)
    name = target.external_id if target.external_id and seeded.chance(0.5) else str(target.id)
    attempt.headers[ON_BEHALF_OF] = name
    attempt.on_behalf = _member_acted_for(scenario, attempt.by, name)


def _member_acted_for(scenario: Scenario, by: Principal | None, name: str) -> Principal | None:
    """The member named in the header. Only a service account can act for them."""
    if by is None or not by.account_of:
        return None
    found = scenario.with_id(name)
    return found or next((each for each in scenario.principals if each.external_id == name), None)
