"""PostgreSQL crashes before or after a commit, and the client cannot tell which."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from tests.support.agreement import applied_positions, assert_agreement, spicedb_relationships
from tests.support.organization import Organization

GONE = OperationalError("COMMIT", {}, ConnectionResetError("the server went away"))


@contextmanager
def answers_of_commits_lost(*, committed: bool) -> Iterator[None]:
    """PostgreSQL goes away at each commit, just after it or just before."""
    commit = AsyncSession.commit

    async def lost(session: AsyncSession) -> None:
        if committed:
            await commit(session)
        raise GONE

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncSession, "commit", lost)
        yield


async def test_a_commit_without_an_answer_is_found_and_answered_as_usual(
    acme: Organization,
) -> None:
    with answers_of_commits_lost(committed=True):
        invited = await acme.invite("bob", ["support"])
    assert invited.status_code == 201, invited.text
    assert len(await applied_positions(acme)) == len(await acme.ledger())
    assert any(each.relation == "invitee" for each in await spicedb_relationships(acme))
    await assert_agreement(acme)


async def test_a_change_that_was_not_committed_leaves_nothing(acme: Organization) -> None:
    before = await assert_agreement(acme)
    with answers_of_commits_lost(committed=False):
        refused = await acme.invite("bob", ["support"])
    assert (refused.status_code, refused.json()["code"]) == (503, "not_committed")
    assert await assert_agreement(acme) == before


async def test_a_retry_with_the_same_key_gets_the_outcome(acme: Organization) -> None:
    again = {"Idempotency-Key": f"invite-bob-{acme.id}"}
    body = {"email": acme.address("bob"), "roles": ["support"]}
    path = f"{acme.path}/invitations"
    with answers_of_commits_lost(committed=True):
        first = await acme.administrator.ask("POST", path, json=body, headers=again)
    assert first.status_code == 201
    reported = await acme.administrator.ask("POST", path, json=body, headers=again)
    assert reported.status_code == 201
    assert reported.json()["email"] == acme.address("bob")
    invitations = (await acme.administrator.ask("GET", path)).json()["items"]
    assert [each["id"] for each in invitations] == [reported.json()["id"]]
    await assert_agreement(acme)
