"""Internal errors: the answer names the kind of error, and nothing of the request is revealed."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from teamaccess.api.problems import database_error
from teamaccess.engine import EngineUnavailable
from tests.support.organization import Organization
from tests.support.responses import refused


class Breaking:
    """A part of the service whose every use raises an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


@pytest.fixture
def breaking(acme: Organization, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the part that reads permissions raise an error."""
    service = acme.deployment.service
    works = service.reading
    object.__setattr__(service, "reading", Breaking(request.param))
    yield
    object.__setattr__(service, "reading", works)


ERRORS = [
    (RuntimeError("bob@example.com"), 500, "internal_error"),
    (
        OperationalError("SELECT 1", {"email": "bob@example.com"}, OSError()),
        503,
        "database_unavailable",
    ),
    (ConnectionRefusedError("no"), 503, "database_unavailable"),
    (EngineUnavailable(cause="UNAVAILABLE"), 503, "engine_unavailable"),
]


@pytest.mark.parametrize(
    ("breaking", "status", "code"),
    ERRORS,
    indirect=["breaking"],
    ids=[each[2] for each in ERRORS[:2]] + ["socket", "engine"],
)
async def test_an_internal_error_is_a_problem_and_its_log_contains_no_token(
    acme: Organization, breaking: None, status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ana = acme.administrator

    answer = await ana.ask("GET", f"{acme.path}/members?cursor=what-was-asked")

    problem = refused(answer, status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)
    reported = str(problem) + capsys.readouterr().out
    assert ana.token not in reported
    assert ana.token.rpartition(".")[2] not in reported
    assert "what-was-asked" not in reported


async def test_an_error_of_postgresql_is_logged_by_its_code(
    acme: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    async with acme.deployment.service.sessions() as session:
        await session.execute(text("SET LOCAL statement_timeout = 1"))
        with pytest.raises(DBAPIError) as failed:
            await session.execute(text("SELECT pg_sleep(5), 'bob@example.com'"))

    answer = database_error(failed.value)

    assert answer.status_code == 503
    reported = capsys.readouterr().out
    assert "QueryCanceledError" in reported
    assert "57014" in reported
    assert "bob@example.com" not in reported


async def test_changing_something_while_permissions_are_not_answered_changes_nothing(
    acme: Organization,
) -> None:
    before = await acme.ledger()
    service = acme.deployment.service
    works = service.ledger._engine
    service.ledger._engine = Breaking(EngineUnavailable(cause="UNAVAILABLE"))  # type: ignore[assignment]
    try:
        answer = await acme.invite("bob", ["support"])
    finally:
        service.ledger._engine = works

    refused(answer, 503, "engine_unavailable")
    assert answer.headers["Retry-After"]
    assert await acme.ledger() == before
    assert acme.deployment.mails_to(acme.address("bob")) == []
