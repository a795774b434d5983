"""The API matches its OpenAPI document. Requests over HTTP are generated from the document."""

from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from tests.api.requests import VALID_REQUESTS, RequestTargets, Route, routes
from tests.support.deployment import Deployment
from tests.support.http_server import HttpServer

UNDESCRIBED = {"/metrics", "/invitations/accept"}
"""Routes that do not answer in JSON."""
DESCRIBED = sorted((route for route in routes() if route.path not in UNDESCRIBED), key=str)
DELETES_ORGANIZATION = Route("DELETE", "/v1/organizations/{organization}")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = 30
"""How many requests each route gets. All routes together take well under a minute."""


@pytest.fixture(scope="module")
def schema(http_server: HttpServer) -> Any:
    """The OpenAPI document, as the server sends it."""
    return schemathesis.openapi.from_url(f"{http_server.url}/schema/openapi.json")


@pytest.fixture(scope="module")
async def targets(fintoc: Deployment) -> RequestTargets:
    return await RequestTargets.create(await fintoc.create_organization("acme"))


def test_the_openapi_document_has_every_json_route(schema: Any) -> None:
    described = {
        Route(method.upper(), path)
        for path, item in schema.raw_schema["paths"].items()
        for method in item
    }
    assert described == set(DESCRIBED)


def test_refusals_are_described_as_problem_details(schema: Any) -> None:
    for route in DESCRIBED:
        responses = schema.raw_schema["paths"][route.path][route.method.lower()]["responses"]
        assert list(responses["default"]["content"]) == ["application/problem+json"]
        assert str(VALID_REQUESTS[route].success) in responses
        assert "400" not in responses


@pytest.mark.parametrize("route", DESCRIBED, ids=str)
def test_every_request_gets_a_described_answer_and_never_an_internal_error(
    http_server: HttpServer, schema: Any, targets: RequestTargets, route: Route
) -> None:
    operation = schema[route.path][route.method]
    names = {**targets.names, "user": targets.names["active"]}

    @given(
        case=st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode]),
        here=st.booleans(),
        by=st.sampled_from(["administrator", "operator", "nobody"]),
    )
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Case[Any], here: bool, by: str) -> None:
        if here and route != DELETES_ORGANIZATION:
            case.path_parameters = {name: names[name] for name in case.path_parameters or {}}
        case.call_and_validate(headers=sign(http_server.deployment, targets, by), checks=CHECKS)

    ask()


def sign(deployment: Deployment, targets: RequestTargets, by: str) -> dict[str, str]:
    """Return headers with a fresh token, because one of the requests signs out."""
    audiences = {
        "administrator": (Audience.USER, targets.organization.administrator.id),
        "operator": (Audience.OPERATOR, "tests"),
    }
    if by not in audiences:
        return {}
    audience, subject = audiences[by]
    token = issue_access_token(
        deployment.service.keys, audience, subject, datetime.now(UTC), LONGEST_LIFE
    )
    return {"Authorization": f"Bearer {token}"}
