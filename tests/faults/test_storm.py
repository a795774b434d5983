"""A storm of any length: TEAMACCESS_STORM operations, TEAMACCESS_SEED to meet the same faults again."""

import os
import secrets
from random import Random

from tests.faults.crowd import Crowd
from tests.faults.deployment import Deployment
from tests.faults.judgement import findings
from tests.faults.recovery import not_recovered
from tests.faults.storm import HOUSES, Storm
from tests.faults.weather import Weather

OPERATIONS = int(os.environ.get("TEAMACCESS_STORM", "600"))
SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))


async def test_nothing_promised_is_lost_in_a_storm(deployment: Deployment) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    chance = Random(SEED)  # noqa: S311 - nothing secret hangs on it
    crowd = Crowd(deployment, chance)
    await crowd.gather(HOUSES)
    storm = Storm(crowd, Weather(deployment, chance), SEED, OPERATIONS)
    await storm.pass_over()
    await deployment.mend()
    found = await findings(deployment, crowd) + await not_recovered(deployment)
    print(storm.figures(found))  # noqa: T201 - what `make soak` is for
    if found:
        raise AssertionError("\n".join(found))
