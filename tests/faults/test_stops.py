"""A process is stopped as a deployment does it, with SIGTERM, and loses nothing that it had to do."""

import asyncio

from tests.attacks.test_waiting_refusals import ask_in_vain, holding, refusals_in
from tests.faults.cluster import Cluster

LONG_SECONDS = 5.0
"""A stopping process once waited for three seconds only."""


async def test_a_stopped_process_records_refusals_that_wait_for_their_chain(
    cluster: Cluster,
) -> None:
    north = cluster.programs["north"]
    async with cluster.deployment("north") as deployment:
        acme = await deployment.create_organization("acme")
        bob = (await acme.add_members({"bob": []}))["bob"]
        async with holding(deployment, acme.id):
            await ask_in_vain(bob, acme)
            stopping = asyncio.create_task(north.stop())
            await asyncio.sleep(LONG_SECONDS)
            assert north.runs
            assert await refusals_in(acme) == 0
        await stopping
        assert await refusals_in(acme) == 1
    assert not any("refusals_not_recorded" in line for line in north.new_log_lines())
