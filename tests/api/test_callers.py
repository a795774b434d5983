"""Every route and every kind of caller: the answers follow the guards of the catalog."""

from typing import NamedTuple

import pytest

from teamaccess.catalog import Catalog
from tests.api.requests import (
    ANYBODY,
    FOUNDER,
    MEMBER,
    REQUESTER,
    SIGNED_IN,
    VALID_REQUESTS,
    RequestTargets,
    Route,
    routes,
)
from tests.support.deployment import Deployment
from tests.support.people import Person
from tests.support.responses import refused

ROUTES = sorted(routes(), key=str)
ACCEPT = Route("POST", "/v1/invitations/accept")
Expected = tuple[int, str]


def test_every_route_of_the_application_is_in_this_table() -> None:
    assert set(ROUTES) == set(VALID_REQUESTS)


def expected(route: Route, caller: str, catalog: Catalog) -> Expected:
    """The status of the answer and the code of the problem; no code where it is allowed."""
    ask = VALID_REQUESTS[route]
    allowed, unknown, sign_in = (
        (ask.success, ""),
        (404, "unknown_organization"),
        (401, "sign_in_required"),
    )
    if route == ACCEPT:
        return allowed if caller == "nobody" else (403, "accepts_for_somebody_else")
    if ask.needs == ANYBODY or (caller == "operator" and ask.operators):
        return allowed
    if caller in ("nobody", "operator"):
        return sign_in if caller == "nobody" else (403, "users_only")
    if ask.needs == SIGNED_IN or (ask.needs == FOUNDER and catalog.founder_role):
        return allowed
    if ask.needs == FOUNDER:
        return 403, "only_operators_found"
    if caller in ("outsider", "suspended administrator"):
        return unknown
    if ask.needs == REQUESTER:
        return 404, ask.hidden
    if ask.needs == MEMBER or catalog.guards[ask.needs] in catalog.roles[caller].actions:
        return allowed
    return (404, ask.hidden) if ask.hidden else (403, "missing_permission")


def callers(catalog: Catalog) -> list[str]:
    """Return every kind of caller."""
    return ["nobody", "outsider", "operator", "suspended administrator", *catalog.roles]


class CallerSetup(NamedTuple):
    """The targets of requests, and one person of each kind, in the targets' organization if a member."""

    targets: RequestTargets
    people: dict[str, Person | None]


async def create_setup(deployment: Deployment, outsider: Person) -> CallerSetup:
    """Create a new organization with targets and people."""
    targets = await RequestTargets.create(await deployment.create_organization("acme"))
    return CallerSetup(targets, await one_person_of_each_kind(targets, outsider))


async def one_person_of_each_kind(
    targets: RequestTargets, outsider: Person
) -> dict[str, Person | None]:
    """Return one person of each kind."""
    catalog = targets.organization.deployment.service.catalog
    roles = {f"a-{role}".replace("_", "-"): [role] for role in catalog.roles}
    people = await targets.organization.add_members(
        {**roles, "sue": [catalog.administrator]}, suspended=["sue"]
    )
    by_role = {role: people[f"a-{role}".replace("_", "-")] for role in catalog.roles}
    return {
        "nobody": None,
        "outsider": outsider,
        "operator": await targets.organization.deployment.operator_person(),
        "suspended administrator": people["sue"],
        **by_role,
    }


@pytest.fixture(scope="module")
async def shared_setup(fintoc: Deployment, finicom: Deployment) -> dict[str, CallerSetup]:
    """Targets that no request changes, by catalog. The outsider is an administrator elsewhere."""
    return {
        deployment.service.catalog.name: await create_setup(
            deployment, (await deployment.create_organization("other")).administrator
        )
        for deployment in (fintoc, finicom)
    }


async def check(deployment: Deployment, route: Route, shared_setup: CallerSetup) -> None:
    """Send the valid request as every kind of caller, with new targets if it changes something."""
    catalog = deployment.service.catalog
    outsider = shared_setup.people["outsider"]
    assert outsider is not None
    outsider.token = await deployment.token(outsider.id)  # because one route signs them out
    for caller in callers(catalog):
        status, code = expected(route, caller, catalog)
        changing = code == "" and route.method != "GET"
        targets, people = await create_setup(deployment, outsider) if changing else shared_setup
        before = await targets.organization.ledger()
        answer = await targets.ask(route, people[caller])
        if code:
            problem = refused(answer, status, code)
            if code == "missing_permission":
                assert problem["permission"] == catalog.guards[VALID_REQUESTS[route].needs], caller
            assert await targets.organization.ledger() == before
        else:
            assert answer.status_code == status, f"{route} by {caller}: {answer.text}"


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_fintoc_answers_each_kind_of_caller_as_its_catalog_says(
    fintoc: Deployment, shared_setup: dict[str, CallerSetup], route: Route
) -> None:
    await check(fintoc, route, shared_setup["fintoc"])


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_finicom_answers_each_kind_of_caller_as_its_catalog_says(
    finicom: Deployment, shared_setup: dict[str, CallerSetup], route: Route
) -> None:
    await check(finicom, route, shared_setup["finicom"])


CHANGES = [
    route
    for route in ROUTES
    if "{organization}" in route.path
    and route.method != "GET"
    and VALID_REQUESTS[route].needs not in (REQUESTER, "view_audit")
]


@pytest.mark.parametrize("route", CHANGES, ids=str)
async def test_every_change_answers_with_its_position_and_a_token_that_is_fresh_enough(
    fintoc: Deployment, route: Route
) -> None:
    targets = await RequestTargets.create(await fintoc.create_organization("acme"))
    organization = targets.organization
    ada = (await organization.add_members({"ada": ["administrator"]}))["ada"]
    before = len(await organization.ledger())

    answer = await targets.ask(route, ada)

    assert answer.is_success
    made = len(await organization.ledger()) - before
    assert made == (0 if VALID_REQUESTS[route].silent else 1)
    assert answer.headers["Teamaccess-Change"] == f"{organization.id}:{before + made}"
    token = answer.headers["Zed-Token"]
    gone = route.path.endswith("leave") or route == Route(
        "DELETE", "/v1/organizations/{organization}"
    )
    assert await organization.can(ada, "users_access", at=token) is not gone
    if not gone:
        reported = await ada.ask("GET", f"{organization.path}/changes/{before + made}")
        assert reported.json()["status"] == "applied"
        assert reported.json()["zed_token"]


async def test_an_unknown_position_is_not_found(fintoc: Deployment) -> None:
    acme = await fintoc.create_organization("acme")
    for position in (999, 2**63 - 1):
        answer = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
        refused(answer, 404, "unknown_change")
