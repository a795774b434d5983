"""All three roles of Finicom's guide times everything it speaks of, as any service is answered."""

import pytest

from tests.catalog.seed_tables import RoleStatement, finicom_prose
from tests.support.deployment import Deployment
from tests.support.organization import Organization

GUIDE = list(finicom_prose())
SPOKEN_OF = frozenset().union(*(says.can | says.cannot for says in GUIDE))


@pytest.fixture(scope="module")
async def organization(finicom: Deployment) -> Organization:
    """One member for each role, all of them invited: here admins invite admins."""
    initech = await finicom.create_organization("initech")
    for says in GUIDE:
        await initech.member(says.role, roles=[says.role])
    return initech


def expected(role: str) -> frozenset[str]:
    """The actions of a role by the guide: its own sentences, and those of the roles below it."""
    order = [says.role for says in GUIDE]
    return frozenset().union(*(says.can for says in GUIDE[order.index(role) :]))


@pytest.mark.parametrize("says", GUIDE, ids=lambda says: says.role)
async def test_a_role_may_do_exactly_what_the_guide_says(
    organization: Organization, says: RoleStatement
) -> None:
    person = organization.people[says.role]

    may = {action for action in SPOKEN_OF if await organization.can(person, action)}

    assert may == expected(says.role)
    assert may.isdisjoint(says.cannot)


async def test_an_invited_admin_can_do_everything_that_the_first_admin_can(
    finicom: Deployment, organization: Organization
) -> None:
    for person in (organization.administrator, organization.people["admin"]):
        mine = (await person.ask("GET", f"{organization.path}/permissions")).json()["actions"]
        assert mine == sorted(finicom.service.catalog.actions)


async def test_the_creator_of_an_organization_is_its_admin(
    finicom: Deployment, organization: Organization
) -> None:
    eve = organization.people["read"]
    id = f"{organization.id}-too"

    made = await eve.ask("POST", "/v1/organizations", json={"id": id, "name": "Eve's own"})

    assert made.status_code == 201
    assert made.json()["id"] == id
    token = made.headers["Zed-Token"]
    assert made.headers["Teamaccess-Change"] == f"{id}:1"
    assert await finicom.check(id, eve.id, "members_invite", at=token)
    assert not await finicom.check(organization.id, eve.id, "members_invite", at=token)


async def test_at_fintoc_only_operators_create_organizations(fintoc: Deployment) -> None:
    acme = await fintoc.create_organization("acme")
    body = {"id": f"{acme.id}-too", "name": "Mine"}

    mine = await acme.administrator.ask("POST", "/v1/organizations", json=body)
    assert (mine.status_code, mine.json()["code"]) == (403, "only_operators_found")

    operator = await fintoc.operator_person()
    others = await operator.ask("POST", "/v1/organizations", json=body)
    assert others.status_code == 201
    assert (await operator.ask("POST", "/v1/organizations", json=body)).status_code == 409
