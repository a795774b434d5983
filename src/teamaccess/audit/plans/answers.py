"""Ask a sandbox the questions of a plan: few people one by one in bulk, many by a lookup."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from teamaccess.audit.questions.holders import AT_ONCE, WHILE_OTHERS_ASK, find_holders
from teamaccess.common.sharing.loop_share import give_way, others_ask
from teamaccess.engine import Consistency, Engine, Question
from teamaccess.storage import UserId

PER_CALL = 50
"""Questions in one bulk check. A sandbox answers them in some tens of milliseconds."""
FEW = 8
"""Questions about the same permission that are asked one by one. For more, one lookup is faster."""


async def find_answers(
    engine: Engine, at: Consistency, questions: Sequence[Question]
) -> list[bool]:
    """Return the answer to each question. Equal questions are asked once. Raises EngineUnavailable."""
    distinct = dict.fromkeys(questions)
    times = Counter((each.resource, each.permission) for each in distinct)
    many = [key for key, count in times.items() if count > FEW]
    holders = await find_holders(engine, at, many)
    single = [each for each in distinct if (each.resource, each.permission) not in holders]
    answers = dict(zip(single, await _in_bulk(engine, at, single), strict=True))
    return [
        answers[each]
        if each in answers
        else UserId(each.subject.id) in holders[each.resource, each.permission]
        for each in questions
    ]


async def _in_bulk(engine: Engine, at: Consistency, questions: list[Question]) -> list[bool]:
    answers = [False] * len(questions)
    starts = iter(range(0, len(questions), PER_CALL))

    async def ask() -> None:
        for start in starts:
            batch = questions[start : start + PER_CALL]
            answers[start : start + len(batch)] = await engine.answers(batch, at)
            await give_way()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(WHILE_OTHERS_ASK if others_ask() else AT_ONCE):
                group.create_task(ask())
    except ExceptionGroup as failures:  # the first failure cancels the other calls
        raise failures.exceptions[0] from failures
    return answers
