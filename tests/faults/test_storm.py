"""A storm of any length: TEAMACCESS_STORM operations, TEAMACCESS_SEED to meet the same faults again."""

import os
import secrets
from random import Random

from tests.faults.clients import Clients
from tests.faults.cluster import Cluster
from tests.faults.fault_injection import FaultInjector
from tests.faults.recovery import not_recovered
from tests.faults.storm import ORGANIZATIONS, Storm
from tests.faults.verification import find_violations

OPERATIONS = int(os.environ.get("TEAMACCESS_STORM", "600"))
SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))


async def test_nothing_promised_is_lost_in_a_storm_of_faults(cluster: Cluster) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    chance = Random(SEED)  # noqa: S311 - no secret depends on it
    clients = Clients(cluster, chance)
    await clients.create_organizations(ORGANIZATIONS)
    storm = Storm(clients, FaultInjector(cluster, chance), SEED, OPERATIONS)
    await storm.run()
    await cluster.repair()
    found = await find_violations(cluster, clients) + await not_recovered(cluster)
    print(storm.figures(found))  # noqa: T201 - what `make soak` is for
    if found:
        raise AssertionError("\n".join(found))
