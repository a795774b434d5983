"""What answers look like to whoever comes by for the first time."""

from sqlalchemy import select

from teamaccess.storage import Event
from tests.support.steps import refused
from tests.support.world import Team, World


async def test_the_root_says_where_everything_else_is_told(fintoc: World) -> None:
    told = (await fintoc.http.get("/")).json()
    assert told["service"] == "teamaccess"
    for path in ("description", "access_model", "health"):
        assert (await fintoc.http.get(told[path])).status_code == 200


async def test_the_description_needs_nothing_from_elsewhere(fintoc: World) -> None:
    document = await fintoc.http.get("/schema")
    assert document.headers["Content-Type"] == "application/json"
    assert document.json() == (await fintoc.http.get("/schema/openapi.json")).json()
    assert "/v1/me" in document.json()["paths"]
    assert "/v1/me" in (await fintoc.http.get("/schema/openapi.yaml")).text


async def test_a_fact_is_plain_and_quoted_in_the_sentence_alone(acme: Team) -> None:
    problem = refused(await acme.invite("bob", ["jani'tor"]), 400, "unknown_role")
    assert problem["role"] == "jani'tor"
    assert problem["detail"].startswith("""There is no role "jani'tor". The catalog has """)


async def test_an_operator_is_told_what_operators_do(acme: Team) -> None:
    operator = await acme.world.signed_in_operator()
    for path in (f"{acme.path}/members", "/v1/organizations/no-such/members", "/v1/me"):
        problem = refused(await operator.ask("GET", path), 403, "users_only")
        assert "GET /v1/organizations" in problem["detail"]
    async with acme.world.service.reads() as session:
        told = await session.scalars(
            select(Event.chain).where(Event.details["code"].astext == "users_only")
        )
        assert set(told) == {Event.PLATFORM}
