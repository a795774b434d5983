"""What stands by the ledger, of everybody or of one."""

from collections.abc import Mapping
from datetime import timedelta
from random import Random

from teamaccess.audit.state.facts import Fact, facts_at
from tests.audit.history import History
from tests.support.objects import grant, registered, to
from tests.support.steps import end_role
from tests.support.world import Person, Team


async def test_of_one_user_it_is_the_same_without_what_is_said_of_others(acme: Team) -> None:
    history = History(acme, Random(1))  # noqa: S311 - nothing secret hangs on it
    await history.begin()
    for _ in range(20):
        await history.go_on()
    await _objects_ends_and_departures(acme)
    reads, end = acme.world.service.reads, len(await acme.ledger())
    everybody = await facts_at(reads, acme.id, end)
    for person in acme.people.values():
        theirs = await facts_at(reads, acme.id, end, about=person.id)
        assert theirs.current == _of(person, everybody.current)
        assert theirs.ended == _of(person, everybody.ended)
        assert any(person.id in each for each in {**theirs.current, **theirs.ended})


async def _objects_ends_and_departures(team: Team) -> None:
    eve = team.people["eve"]
    await team.act("reactivate", eve)  # in case they are suspended
    (await team.change_roles(eve, "support")).raise_for_status()
    await registered(team, "transfer:t1", creator=eve)
    await registered(team, "webhook:wh_1")
    grants = (to(eve, "edit"), to("pay", "view"))
    (await grant(team, "webhook:wh_1", *grants)).raise_for_status()
    await end_role(team, eve, "support", await team.world.service.now() + timedelta(days=1))
    (await team.act("remove", team.people["zoe"])).raise_for_status()


def _of(person: Person, facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {
        identity: fact
        for identity, fact in facts.items()
        if "@user:" not in identity or identity.endswith(f"@user:{person.id}")
    }
