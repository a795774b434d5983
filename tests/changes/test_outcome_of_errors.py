"""An error says that nothing was changed only where that is true."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from teamaccess.directory.schemas import apply
from teamaccess.directory.schemas.apply import SchemaUnrecorded, apply_schema
from teamaccess.directory.schemas.in_force import schema_in_force
from teamaccess.ledger import NotCommitted
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.responses import refused

NOTHING = "Nothing was changed"


class Broken:
    """A part that fails when it is called."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __call__(self, *_: object, **__: object) -> None:
        raise self.error


ERRORS = [
    (RuntimeError("a bug"), 500, "internal_error"),
    (OperationalError("SELECT", {}, OSError("gone")), 503, "database_unavailable"),
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
async def test_an_error_after_the_commit_does_not_deny_the_change(
    acme: Organization,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    ana, activity = acme.administrator, acme.deployment.service.activity
    monkeypatch.setattr(activity, "seen", Broken(error))
    acme.deployment.service.admission._admitted[acme.id, ana.id] = True
    answer = await ana.ask("PATCH", acme.path, json={"name": "Renamed"})
    problem = refused(answer, status, code)
    assert NOTHING not in problem["detail"]
    assert "may have been made" in problem["detail"]
    monkeypatch.undo()
    assert (await ana.ask("GET", acme.path)).json()["name"] == "Renamed"


@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
async def test_an_error_before_the_commit_says_that_nothing_was_changed(
    acme: Organization,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    """Also straight after another request of the same connection that changed something."""
    ana = acme.administrator
    assert (await ana.ask("PATCH", acme.path, json={"name": "First"})).is_success
    monkeypatch.setattr(acme.deployment.service.ledger, "commit", Broken(error))
    problem = refused(await ana.ask("PATCH", acme.path, json={"name": "Second"}), status, code)
    assert NOTHING in problem["detail"]
    monkeypatch.undo()
    assert (await ana.ask("GET", acme.path)).json()["name"] == "First"


async def test_a_schema_that_spicedb_has_is_not_denied(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may go away between SpiceDB and the record."""
    service = isolated.service
    newer = replace(service.catalog, longest_days=30)
    monkeypatch.setattr(apply, "_record_version", Broken(NotCommitted()))
    with pytest.raises(SchemaUnrecorded):
        await apply_schema(service.ledger, service.engine, newer, OPERATOR)
    monkeypatch.undo()
    assert await service.engine.schema_differences(newer.schema()) == []
    await apply_schema(service.ledger, service.engine, newer, OPERATOR)
    async with service.reads() as session:
        applied = await schema_in_force(session, await service.now())
    assert applied is not None
    assert applied.catalog.version == newer.version
