"""Mallory gives one organization another history than SpiceDB has. Nobody else notices."""

from tests.attacks.test_stolen_database_password import EVENT, LEDGER
from tests.support.database_connections import connected, run_transaction
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import another_process

ARRIVED = """
UPDATE ledger_applications SET status = 'applied', zed_token = first.zed_token
FROM (SELECT zed_token FROM ledger_applications WHERE organization_id = '{0}' AND position = 1) first
WHERE organization_id = '{0}' AND status = 'pending'
"""


async def forge_position(organization: Organization) -> None:
    """Append a position and claim that SpiceDB has it."""
    async with connected(organization.deployment.settings.database_url) as mallory:
        await run_transaction(
            mallory,
            LEDGER.format(organization.id, organization.id, "eve", "user:mallory", "api", "r"),
            EVENT.format(organization.id, "roles_changed", "user:eve", "{}"),
            ARRIVED.format(organization.id),
        )


async def test_the_history_of_one_organization_makes_no_process_unready(
    isolated: Deployment,
) -> None:
    acme = await isolated.create_organization("acme")
    globex = await isolated.create_organization("globex")
    gus = await globex.member("gus", roles=["support"])

    await forge_position(acme)
    async with another_process(isolated) as fresh:
        answer = await fresh.http.get("/readyz")
    assert answer.status_code == 200, answer.text
    refused(await acme.invite("bob", ["support"]), 503, "other_history")
    (await globex.change_roles(gus, "product")).raise_for_status()

    await forge_position(globex)  # now SpiceDB has the history of no organization
    async with another_process(isolated) as fresh:
        answer = await fresh.http.get("/readyz")
    assert answer.status_code == 503, answer.text
