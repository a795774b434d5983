"""Facts from the ledger, about all users or about one."""

from collections.abc import Mapping
from datetime import timedelta
from random import Random

from teamaccess.audit.state.facts import Fact, facts_at
from tests.audit.random_changes import RandomChanges
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, grant_to, set_grants


async def test_facts_about_one_user_are_the_same_without_those_about_others(
    acme: Organization,
) -> None:
    history = RandomChanges(acme, Random(1))  # noqa: S311 - no secret depends on it
    await history.begin()
    for _ in range(20):
        await history.change_one_thing()
    await _objects_ends_and_departures(acme)
    reads, end = acme.deployment.service.reads, len(await acme.ledger())
    everybody = await facts_at(reads, acme.id, end)
    for person in acme.people.values():
        own = await facts_at(reads, acme.id, end, about=person.id)
        assert own.current == _of(person, everybody.current)
        assert own.ended == _of(person, everybody.ended)
        assert any(person.id in each for each in {**own.current, **own.ended})


async def _objects_ends_and_departures(organization: Organization) -> None:
    eve = organization.people["eve"]
    await organization.reactivate(eve)  # in case they are suspended
    (await organization.change_roles(eve, "support")).raise_for_status()
    await add_resources(organization, "transfer:t1", creator=eve)
    await add_resources(organization, "webhook:wh_1")
    grants = (grant_to(eve, "edit"), grant_to("pay", "view"))
    (await set_grants(organization, "webhook:wh_1", *grants)).raise_for_status()
    await organization.set_role_expiry(
        eve,
        "support",
        await organization.deployment.service.now() + timedelta(days=1),
    )
    (await organization.remove(organization.people["zoe"])).raise_for_status()


def _of(person: Person, facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {
        identity: fact
        for identity, fact in facts.items()
        if "@user:" not in identity or identity.endswith(f"@user:{person.id}")
    }
