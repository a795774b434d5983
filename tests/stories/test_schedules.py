"""Concurrent requests in many orders of their steps, each with only a few possible outcomes.

An ordinary run tries a few orders. `TEAMACCESS_SCHEDULES=300 pytest
tests/stories/test_schedules.py` tries many.
"""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.concurrent_scenarios import (
    ENDS_SESSIONS,
    POSSIBLE_ANSWERS,
    Prepare,
    TwoProcesses,
    create_organization_twice_with_one_key,
    demote_and_demote,
    leave_and_be_demoted,
    leave_and_demote_the_other,
    remove_and_change_roles,
)
from tests.support.deployment import Deployment
from tests.support.interleaving import (
    EXAMPLES,
    SCHEDULES,
    Connection,
    Schedule,
    run_interleaved,
    stop_before_each_step,
)
from tests.support.invariants import (
    assert_answers_match_records,
    assert_consistent,
    summarize_answer,
)
from tests.support.people import Person
from tests.support.spicedb_proxy import served_by

FINICOM_SCENARIOS = [
    demote_and_demote,
    leave_and_demote_the_other,
    leave_and_be_demoted,
    remove_and_change_roles,
    create_organization_twice_with_one_key,
]
"""The scenarios that depend on Finicom's rules, such as who may create organizations."""
FINTOC_SCENARIOS = [
    prepare for prepare in POSSIBLE_ANSWERS if prepare is not create_organization_twice_with_one_key
]


def _name(prepare: Prepare) -> str:
    return prepare.__name__


@pytest.fixture(scope="module")
async def observer(fintoc: Deployment) -> AsyncIterator[Connection]:
    """Stop each request before each of its steps."""
    async with stop_before_each_step(fintoc.settings.database_url) as observer:
        yield observer


@pytest.mark.parametrize("prepare", FINTOC_SCENARIOS, ids=_name)
@settings(max_examples=EXAMPLES)
@given(schedule=SCHEDULES, apart=st.booleans())
async def test_concurrent_requests_end_well_in_any_order(
    fintoc: Deployment,
    fintoc_elsewhere: Deployment,
    observer: Connection,
    prepare: Prepare,
    schedule: Schedule,
    apart: bool,
) -> None:
    elsewhere = fintoc_elsewhere if apart else fintoc
    here = await fintoc.create_organization("acme")
    await _play(observer, TwoProcesses(here, served_by(elsewhere, here)), prepare, schedule)


@pytest.mark.parametrize("prepare", FINICOM_SCENARIOS, ids=_name)
@settings(max_examples=EXAMPLES)
@given(schedule=SCHEDULES)
async def test_concurrent_requests_end_well_in_any_order_in_finicom(
    finicom: Deployment, observer: Connection, prepare: Prepare, schedule: Schedule
) -> None:
    here = await finicom.create_organization("initech")
    await _play(observer, TwoProcesses(here, here), prepare, schedule)


async def _play(
    observer: Connection, processes: TwoProcesses, prepare: Prepare, schedule: Schedule
) -> None:
    deployment = processes.here.deployment
    answers = await run_interleaved(observer, schedule, *await prepare(processes))
    reported = tuple(summarize_answer(answer) for answer in answers)
    if not any(answer.is_server_error for answer in answers):
        assert reported in POSSIBLE_ANSWERS[prepare]
    await assert_answers_match_records(deployment, answers)
    for organization in (processes.here, *processes.others):
        await assert_consistent(organization)
    if prepare in ENDS_SESSIONS and reported == ("200", "204"):
        accepted = answers[0].json()
        eve = Person(deployment, accepted["user"], "", accepted["access_token"])
        signed_in = summarize_answer(await eve.ask("GET", "/v1/me"))
        assert signed_in == "401 invalid_token", "the session that began survived the sign-out"
