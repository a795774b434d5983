"""All six roles of Fintoc's table times its 32 actions, as any service is answered."""

import asyncio

import pytest

from teamaccess.catalog import Action
from tests.catalog.seed_tables import Row, fintoc_table
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person

TABLE = fintoc_table()


@pytest.fixture(scope="module")
async def organization(fintoc: Deployment) -> Organization:
    """One member for each role. All are invited, except the member whose role only operators give."""
    acme = await fintoc.create_organization("acme")
    for role in fintoc.service.catalog.roles.values():
        if role.granted_by == "dashboard":
            await acme.member(role.id.replace("_", "-"), roles=[role.id])
    return acme


@pytest.fixture(scope="module")
def holders(fintoc: Deployment, organization: Organization) -> dict[str, Person]:
    """The holder of each role, by the role's name in the table."""
    return {
        role.name: organization.people.get(role.id.replace("_", "-"), organization.administrator)
        for role in fintoc.service.catalog.roles.values()
    }


def action(deployment: Deployment, row: Row) -> Action:
    """The action of the row, found by its sentence."""
    actions = deployment.service.catalog.actions.values()
    return next(action for action in actions if action.description == row.sentence)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.sentence)
async def test_spicedb_answers_each_row_of_the_table_for_every_role(
    fintoc: Deployment, organization: Organization, holders: dict[str, Person], row: Row
) -> None:
    permission = action(fintoc, row).permission
    asked = [organization.can(person, permission) for person in holders.values()]
    answers = dict(zip(holders, await asyncio.gather(*asked), strict=True))

    assert len(answers) == 6
    assert {role for role, may in answers.items() if may} == row.roles


async def test_only_the_administrator_has_actions_beyond_the_table(
    fintoc: Deployment, organization: Organization, holders: dict[str, Person]
) -> None:
    others = [each for each in fintoc.service.catalog.actions.values() if each.source != "table"]
    assert others

    for each in others:
        may = {role for role in holders if await organization.can(holders[role], each.permission)}
        assert may == {"Administrator"}, each.id


async def test_a_member_and_a_service_get_the_same_permissions(
    fintoc: Deployment, organization: Organization, holders: dict[str, Person]
) -> None:
    catalog = fintoc.service.catalog
    for role in catalog.roles.values():
        mine = (await holders[role.name].ask("GET", f"{organization.path}/permissions")).json()
        assert mine["organization"] == organization.id
        assert mine["user"] == holders[role.name].id
        assert mine["actions"] == sorted(role.actions)


async def test_two_roles_together_allow_exactly_what_each_allows(
    fintoc: Deployment, organization: Organization
) -> None:
    both = await organization.member("both", roles=["product", "support"])
    mine = (await both.ask("GET", f"{organization.path}/permissions")).json()["actions"]
    assert mine == sorted(fintoc.service.catalog.actions_of(["product", "support"]))
    assert "refunds_create" in mine
    assert "webhooks_create" not in mine
