"""Requests that meet, in many orders of their steps: only some answers go together.

`TEAMACCESS_SCHEDULES=300 pytest tests/stories/test_schedules.py` looks for longer than every run can.
"""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.concurrent_scenarios import (
    ENDS_SESSIONS,
    TOGETHER,
    Prepare,
    TwoProcesses,
    demote_and_demote,
    found_twice_with_one_key,
    leave_and_be_demoted,
    leave_and_demote_the_other,
    remove_and_change_roles,
)
from tests.support.deployment import Deployment
from tests.support.interleaving import EXAMPLES, SCHEDULES, Connection, Schedule, played, stopping
from tests.support.invariants import (
    assert_answers_match_records,
    assert_consistent,
    summarize_answer,
)
from tests.support.people import Person
from tests.support.spicedb_proxy import through_proxy

FINICOMS = [
    demote_and_demote,
    leave_and_demote_the_other,
    leave_and_be_demoted,
    remove_and_change_roles,
    found_twice_with_one_key,
]
"""Where the customers' own rules matter."""
FINTOCS = [prepare for prepare in TOGETHER if prepare is not found_twice_with_one_key]


def _name(prepare: Prepare) -> str:
    return prepare.__name__


@pytest.fixture(scope="module")
async def looking_on(fintoc: Deployment) -> AsyncIterator[Connection]:
    """Whatever is played stops before each of its steps."""
    async with stopping(fintoc.settings.database_url) as observer:
        yield observer


@pytest.mark.parametrize("prepare", FINTOCS, ids=_name)
@settings(max_examples=EXAMPLES)
@given(schedule=SCHEDULES, apart=st.booleans())
async def test_concurrent_requests_end_well_in_any_order(
    fintoc: Deployment,
    fintoc_elsewhere: Deployment,
    looking_on: Connection,
    prepare: Prepare,
    schedule: Schedule,
    apart: bool,
) -> None:
    elsewhere = fintoc_elsewhere if apart else fintoc
    here = await fintoc.create_organization("acme")
    await _play(looking_on, TwoProcesses(here, through_proxy(elsewhere, here)), prepare, schedule)


@pytest.mark.parametrize("prepare", FINICOMS, ids=_name)
@settings(max_examples=EXAMPLES)
@given(schedule=SCHEDULES)
async def test_concurrent_requests_end_well_in_any_order_in_finicom(
    finicom: Deployment, looking_on: Connection, prepare: Prepare, schedule: Schedule
) -> None:
    here = await finicom.create_organization("initech")
    await _play(looking_on, TwoProcesses(here, here), prepare, schedule)


async def _play(
    looking_on: Connection, processes: TwoProcesses, prepare: Prepare, schedule: Schedule
) -> None:
    deployment = processes.here.deployment
    answers = await played(looking_on, schedule, *await prepare(processes))
    reported = tuple(summarize_answer(answer) for answer in answers)
    if not any(answer.is_server_error for answer in answers):
        assert reported in TOGETHER[prepare]
    await assert_answers_match_records(deployment, answers)
    for organization in (processes.here, *processes.others):
        await assert_consistent(organization)
    if prepare in ENDS_SESSIONS and reported == ("200", "204"):
        accepted = answers[0].json()
        eve = Person(deployment, accepted["user"], "", accepted["access_token"])
        signed_in = summarize_answer(await eve.ask("GET", "/v1/me"))
        assert signed_in == "401 invalid_token", "signed out, and signed in all the same"
