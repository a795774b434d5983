"""`teamaccess token issue`: a token that it prints is accepted."""

import json

import pytest
from sqlalchemy import func, select

from teamaccess.storage import Event
from tests.support.command_line import Run
from tests.support.organization import Organization


async def issued(organization: Organization) -> int:
    """How many tokens were recorded as issued."""
    async with organization.deployment.service.reads() as session:
        count = select(func.count()).where(Event.kind == "token_issued")
        return int((await session.scalars(count)).one())


@pytest.mark.parametrize(
    "name",
    ["Ines Garcia", "", " ", "x" * 120, "ines\n", "ines/ops", "ines:ops", "\u202eines", "<b>"],
)
async def test_an_operator_name_that_no_token_may_have_is_refused(
    run: Run, acme: Organization, name: str
) -> None:
    before = await issued(acme)
    refused = await run("token", "issue", "--operator", name, "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stderr)["code"] == "invalid_subject"
    assert await issued(acme) == before


@pytest.mark.parametrize("name", ["ines", "ines.garcia+ops@example.com", "Inés", "x" * 100])
async def test_a_token_of_an_operator_is_accepted(run: Run, acme: Organization, name: str) -> None:
    done = await run("token", "issue", "--operator", name, "--json")
    token = json.loads(done.stdout)["token"]
    answer = await acme.deployment.http.get(
        "/v1/organizations", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200, answer.text


async def test_a_service_account_gets_no_token_of_a_person(run: Run, acme: Organization) -> None:
    account = await acme.add_service_account("support")
    before = await issued(acme)
    refused = await run("token", "issue", account.id, "--json")
    assert refused.exit_code == 2
    problem = json.loads(refused.stderr)
    assert (problem["code"], problem["account"]) == ("no_token_for_account", account.id)
    assert await issued(acme) == before
