"""When all is over: does every API serve as before, by itself?"""

from random import Random

from tests.faults.clients import Clients, RequestOptions
from tests.faults.cluster import Cluster
from tests.faults.operations import reactivate, reconnect, suspend

ATTEMPTS = 10
"""On a busy machine SpiceDB may once answer later than an API waits, but not every time."""


async def not_recovered(cluster: Cluster) -> list[str]:
    """The APIs that leave each change to the workers, a line each."""
    clients = Clients(cluster, Random(1))  # noqa: S311 - no secret depends on it
    await clients.create_organizations(1)
    await reconnect(clients, cluster.apis)
    return [
        f"{api} enforces nothing any more"
        for api in cluster.apis
        if not await _enforces(clients, api)
    ]


async def _enforces(clients: Clients, api: str) -> bool:
    """Whether it answers that a change is in force, and not only that it will be."""
    [organization] = clients.organizations
    options, bob = (
        RequestOptions(organization.administrators[0], retry=True, api=api),
        organization.people[0],
    )
    for _ in range(ATTEMPTS):
        for operation in (suspend, reactivate):
            if (await operation(clients, organization, options, bob)).last.status == 204:
                return True
    return False
