"""When all is over: does every API serve as before, by itself?"""

from random import Random

from tests.faults.crowd import Crowd, Manner
from tests.faults.deeds import acquaint, reactivate, suspend
from tests.faults.deployment import Deployment

ATTEMPTS = 10
"""On a busy machine SpiceDB may take longer than an API waits for it, but not every time."""


async def not_recovered(deployment: Deployment) -> list[str]:
    """The APIs that leave each change to the workers, a line each."""
    crowd = Crowd(deployment, Random(1))  # noqa: S311 - nothing secret hangs on it
    await crowd.gather(1)
    await acquaint(crowd, deployment.apis)
    return [
        f"{api} enforces nothing any more"
        for api in deployment.apis
        if not await _enforces(crowd, api)
    ]


async def _enforces(crowd: Crowd, api: str) -> bool:
    """Whether it answers that a change is in force, and not only that it will be."""
    [house] = crowd.houses
    manner, bob = Manner(house.administrators[0], stubborn=True, api=api), house.people[0]
    for _ in range(ATTEMPTS):
        for deed in (suspend, reactivate):
            if (await deed(crowd, house, manner, bob)).last.status == 204:
                return True
    return False
