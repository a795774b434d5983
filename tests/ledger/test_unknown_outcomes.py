"""PostgreSQL commits and dies before it can say so, or dies before it commits: nobody can tell which."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from tests.faults_tools import until
from tests.ledger.sides import agreed, graph, markers
from tests.world import Team

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


async def test_what_was_committed_in_silence_is_brought_in_all_the_same(acme: Team) -> None:
    with answers_of_commits_lost(committed=True):
        unknown = await acme.invite("bob", ["support"])
    assert (unknown.status_code, unknown.json()["code"]) == (503, "outcome_unknown")
    await until(lambda: _all_there(acme))
    assert any(each.relation == "invitee" for each in await graph(acme))
    await agreed(acme)


async def test_what_was_not_committed_leaves_nothing(acme: Team) -> None:
    before = await agreed(acme)
    with answers_of_commits_lost(committed=False):
        unknown = await acme.invite("bob", ["support"])
    assert (unknown.status_code, unknown.json()["code"]) == (503, "outcome_unknown")
    assert await agreed(acme) == before


async def test_the_same_key_tells_what_came_of_it(acme: Team) -> None:
    again = {"Idempotency-Key": f"invite-bob-{acme.id}"}
    body = {"email": acme.address("bob"), "roles": ["support"]}
    path = f"{acme.path}/invitations"
    with answers_of_commits_lost(committed=True):
        unknown = await acme.administrator.ask("POST", path, json=body, headers=again)
    assert unknown.status_code == 503
    told = await acme.administrator.ask("POST", path, json=body, headers=again)
    assert told.status_code == 201
    assert told.json()["email"] == acme.address("bob")
    invitations = (await acme.administrator.ask("GET", path)).json()["items"]
    assert [each["id"] for each in invitations] == [told.json()["id"]]
    await agreed(acme)


async def _all_there(team: Team) -> bool:
    return len(await markers(team)) == len(await team.ledger())
