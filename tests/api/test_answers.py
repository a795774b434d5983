"""Answers to a new client."""

from sqlalchemy import select

from teamaccess.storage import Event
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import another_process


async def test_the_root_links_to_the_documentation(fintoc: Deployment) -> None:
    reported = (await fintoc.http.get("/")).json()
    assert reported["service"] == "teamaccess"
    for path in ("description", "access_model", "health"):
        assert (await fintoc.http.get(reported[path])).status_code == 200


async def test_the_openapi_page_loads_nothing_from_other_hosts(fintoc: Deployment) -> None:
    document = await fintoc.http.get("/schema")
    assert document.headers["Content-Type"] == "application/json"
    assert document.json() == (await fintoc.http.get("/schema/openapi.json")).json()
    assert "/v1/me" in document.json()["paths"]
    assert "/v1/me" in (await fintoc.http.get("/schema/openapi.yaml")).text


async def test_a_fact_of_an_error_is_quoted_only_in_the_sentence(acme: Organization) -> None:
    problem = refused(await acme.invite("bob", ["jani'tor"]), 400, "unknown_role")
    assert problem["role"] == "jani'tor"
    assert problem["detail"].startswith("""There is no role "jani'tor". The catalog has """)


async def test_an_operator_gets_an_explanation_of_what_operators_do(acme: Organization) -> None:
    limits = {"refusals_per_actor": 1_000_000, "refusals_per_chain": 1_000_000}
    requests = []
    async with another_process(acme.deployment, **limits) as new:  # it has recorded nothing yet
        operator = await new.operator_person()
        for path in (f"{acme.path}/members", "/v1/organizations/no-such/members", "/v1/me"):
            answer = await operator.ask("GET", path)
            problem = refused(answer, 403, "users_only")
            assert "GET /v1/organizations" in problem["detail"]
            requests.append(answer.headers["X-Request-Id"])
    async with acme.deployment.service.reads() as session:
        reported = await session.execute(
            select(Event.chain, Event.details["code"].astext).where(Event.request_id.in_(requests))
        )
        assert set(reported) == {(Event.PLATFORM, "users_only")}
