"""Nobody gives what they do not have, whatever they try, in whatever order.

The theorem: in any state that members can bring about through the API, no operation that succeeds gives
anyone - who asks, another member, whoever accepts an invitation, a machine - an action that the giver did
not hold at that time. For an acceptance the giver is who invited; registering objects is no giving. And
in fintoc nothing that members do makes an administrator.

TEAMACCESS_ATTEMPTS=<number> tries more, TEAMACCESS_SEED=<number> the same again.
"""

import os
import secrets
from collections import Counter
from random import Random

from authzed.api.v1 import Consistency, LookupSubjectsRequest, ObjectReference

from teamaccess.models import UserId
from tests.escalation.arena import Arena, Powers
from tests.escalation.moves import MOVES, Move
from tests.world import Team, World

ATTEMPTS = int(os.environ.get("TEAMACCESS_ATTEMPTS", "120"))
SEED = int(os.environ.get("TEAMACCESS_SEED", secrets.randbelow(2**32)))
GUESTS = ["gil", "hal", "ivy"]


async def test_nobody_gives_what_they_do_not_have_in_fintoc(fintoc: World) -> None:
    arena = await _arena(await fintoc.found())
    administrators = await _administrators(arena.team)
    await _attack(arena)
    assert await _administrators(arena.team) <= administrators


async def test_nobody_gives_what_they_do_not_have_in_finicom(finicom: World) -> None:
    await _attack(await _arena(await finicom.found()))


async def _arena(team: Team) -> Arena:
    """People with little, with some, with much, and with the right to hand things on."""
    chance = Random(SEED)  # noqa: S311 - nothing secret hangs on it
    arena = Arena(team, chance, [team.administrator], list(GUESTS))
    actions = team.world.service.catalog.actions.values()
    stewards = [each.id for each in actions if each.source == "product" and not each.reserved]
    handing = [*stewards, *(each.id for each in actions if not each.reserved)][: len(stewards) + 8]
    for id, allowed in (("steward", stewards), ("captain", handing)):
        body = {"id": id, "name": id, "actions": sorted(set(allowed))}
        answer = await team.administrator.ask("POST", f"{team.path}/roles", json=body)
        assert answer.status_code == 201, answer.text
        arena.roles.append(id)
    least = arena.predefined[-1]
    for name, roles in {
        "bob": [least],
        "eve": ["steward", least],
        "mal": ["captain"],
        "zoe": [arena.predefined[1]],
    }.items():
        arena.people.append(await team.member(name, roles))
    return arena


async def _attack(arena: Arena) -> None:
    print(f"TEAMACCESS_SEED={SEED}")  # noqa: T201 - shown when it fails
    told: Counter[str] = Counter()
    before = await arena.powers()
    for _ in range(ATTEMPTS):
        do = arena.chance.choice(MOVES)
        weights = [1 if each is arena.team.administrator else 3 for each in arena.people]
        by = arena.chance.choices(arena.people, weights)[0]
        move = await do(arena, by)
        if move is None:
            continue
        told[f"{do.__name__} {move.answer.status_code}"] += 1
        assert move.answer.status_code < 500, move.answer.text
        after = await arena.powers()
        if move.done:
            _judge(arena, before, after, move, f"{do.__name__} by {by.id}: {move.answer.text}")
        else:
            assert all(after[user] <= before[user] for user in before), "refused, and done"
        before = after
    print(*sorted(told.items()), sep="\n")  # noqa: T201 - what was tried


def _judge(arena: Arena, before: Powers, after: Powers, move: Move, what: str) -> None:
    limits = [before.get(giver, frozenset()) for giver in move.givers]
    for user, powers in after.items():
        gained = {
            power
            for power in powers - before.get(user, frozenset())
            if power.partition("#")[0] not in move.registered
        }
        for limit in limits:
            beyond = sorted(each for each in gained if not arena.covered([each], limit))
            assert not beyond, f"{user} got {beyond} from who lacked it. {what}"
    for limit in limits:
        beyond = sorted(each for each in move.handed if not arena.covered([each], limit))
        assert not beyond, f"{beyond} was handed out by who lacked it. {what}"


async def _administrators(team: Team) -> set[UserId]:
    """Everybody who has every permission, by SpiceDB's word."""
    key = team.world.settings.spicedb_preshared_key.get_secret_value()
    stream = team.world.engine.LookupSubjects(
        LookupSubjectsRequest(
            consistency=Consistency(fully_consistent=True),
            resource=ObjectReference(object_type="organization", object_id=team.id),
            permission="administration",
            subject_object_type="user",
        ),
        metadata=(("authorization", f"Bearer {key}"),),
    )
    return {UserId(each.subject.subject_object_id) async for each in stream}
