"""What honest administrators do during the attack: they give and take away access that they hold."""

from datetime import datetime, timedelta
from typing import Any

from tests.attacks.coalition.escalation_checks import State
from tests.attacks.coalition.request_bodies import ACCOUNT, ORGANIZATION
from tests.attacks.coalition.request_choices import KEYS
from tests.attacks.coalition.scenario import Attempt, KnownObject, Principal, Scenario
from tests.attacks.coalition.seeded_choices import SeededChoices
from tests.attacks.coalition.snapshots import OrganizationSnapshot
from tests.attacks.coalition.workplace import BACKENDS, GIVEN_FREELY


def honest_attempt(
    scenario: Scenario, state: State, seeded: SeededChoices, step: int, now: datetime
) -> Attempt:
    """An attempt of an administrator of the workplace or of the victim.

    They give much, but neither administration nor the permission to delete the organization.
    """
    if seeded.chance(0.15):
        return _in_the_victim_organization(scenario, seeded, step)
    if (
        seeded.chance(0.4)
        and (restored := _restore(scenario, state[scenario.workplace], seeded)) is not None
    ):
        return restored
    workplace, by = scenario.workplace, scenario.named("ana")
    safe = _safe_roles(scenario)
    others = [each for each in scenario.coalition if each.label not in BACKENDS]
    target = seeded.pick([each for each in others if not each.audits_all])
    roles: list[Any] = [{"role": role, **_end(seeded, now)} for role in seeded.some(safe, 2)]
    match seeded.number(0, 9):
        case 0 | 1:
            path = f"{ORGANIZATION}/members/{{user}}/roles"
            return _attempt(f"PUT {path}", workplace, by, {"roles": roles}, user=target.id)
        case 2:
            email = target.email or f"g{step}@{scenario.workplace}.example"
            body = {"email": email, "roles": seeded.some(safe, 2)}
            return _attempt(f"POST {ORGANIZATION}/invitations", workplace, by, body)
        case 3:
            verb = seeded.pick(["suspend", "reactivate", "reactivate"])
            return _attempt(
                f"POST {ORGANIZATION}/members/{{user}}/{verb}", workplace, by, user=target.id
            )
        case 4:
            return _attempt(
                f"DELETE {ORGANIZATION}/members/{{user}}", workplace, by, user=target.id
            )
        case 5:
            asked = _any(scenario, seeded, "access_request")
            route = f"POST {ORGANIZATION}/access-requests/{{access_request}}/approve"
            return _attempt(route, workplace, by, {"role": seeded.pick(safe)}, access_request=asked)
        case 6:
            team = _any(scenario, seeded, "team")
            return _attempt(
                f"PUT {ORGANIZATION}/teams/{{team}}/roles",
                workplace,
                by,
                {"roles": roles},
                team=team,
            )
        case 7:
            route = f"PUT {ORGANIZATION}/teams/{{team}}/members/{{user}}"
            team = _any(scenario, seeded, "team")
            return _attempt(
                route, workplace, by, _end(seeded, now) or None, team=team, user=target.id
            )
        case 8:
            body = {"name": f"machine {step}", "roles": seeded.some(safe, 2)}
            return _attempt(f"POST {ORGANIZATION}/service-accounts", workplace, by, body)
        case _:
            account = _any(scenario, seeded, "account")
            body = {"name": "handed to the coalition"}
            return _attempt(f"POST {ACCOUNT}/tokens", workplace, by, body, account=account)


def _restore(
    scenario: Scenario, workplace: OrganizationSnapshot, seeded: SeededChoices
) -> Attempt | None:
    """Give a coalition member back what they have lost.

    The coalition can do little without leads.
    """
    by, target = (
        scenario.named("ana"),
        scenario.named(seeded.pick(["lea", "mal", "rex", "bob", "zoe"])),
    )
    role = seeded.pick(sorted(GIVEN_FREELY))
    if target.id in workplace.members():
        if any(
            edge.user == target.id and edge.resource.startswith("role:") for edge in workplace.graph
        ):
            return None
        roles = {"roles": [{"role": role}]}
        return _attempt(
            f"PUT {ORGANIZATION}/members/{{user}}/roles",
            scenario.workplace,
            by,
            roles,
            user=target.id,
        )
    if any(edge.user == target.id and edge.relation != "creator" for edge in workplace.graph):
        return _attempt(
            f"POST {ORGANIZATION}/members/{{user}}/reactivate",
            scenario.workplace,
            by,
            user=target.id,
        )
    return _attempt(
        f"POST {ORGANIZATION}/invitations",
        scenario.workplace,
        by,
        {"email": target.email, "roles": [role]},
    )


def _in_the_victim_organization(scenario: Scenario, seeded: SeededChoices, step: int) -> Attempt:
    """Create a team, with an Idempotency-Key that the coalition uses too."""
    by = scenario.named("vic")
    body = {"id": f"victim_{step}", "name": f"A team {step}"}
    attempt = _attempt(f"POST {ORGANIZATION}/teams", scenario.victim, by, body)
    attempt.headers["Idempotency-Key"] = seeded.pick(KEYS)
    return attempt


def _safe_roles(scenario: Scenario) -> list[str]:
    """All roles of the workplace except the administrator's."""
    catalog = scenario.deployment.service.catalog
    own = [each.id for each in scenario.of("role", scenario.workplace)]
    predefined = [id for id in catalog.roles if id != catalog.administrator]
    return [*predefined, *own]


def _end(seeded: SeededChoices, now: datetime) -> dict[str, str]:
    if seeded.chance(0.6):
        return {}
    return {"expires_at": (now + timedelta(hours=seeded.number(1, 500))).isoformat()}


def _any(scenario: Scenario, seeded: SeededChoices, kind: str) -> str:
    found: list[KnownObject] = scenario.of(kind, scenario.workplace)
    return seeded.pick(found).id if found else f"no_{kind}"


def _attempt(
    route: str, organization: str, by: Principal, body: Any = None, **path: str
) -> Attempt:
    url = route.partition(" ")[2].format(organization=organization, **path)
    return Attempt(route, url, by, by.token, body, {}, organization)
