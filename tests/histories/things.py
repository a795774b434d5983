"""Objects in a random history: what people do with them, and what must hold of them."""

from datetime import timedelta
from random import Random

from sqlalchemy import select, text

from teamaccess.access.authorize import MEMBERSHIP
from teamaccess.engine import Question
from teamaccess.relationships import organization, user
from teamaccess.storage import Resource
from tests.histories.cast import Cast
from tests.support.objects import batch, grant, item, register, remove, to
from tests.support.world import Person, Team

NAMES = ("one", "two", "three")
"""So few that what was removed is asked for again."""

GRANTED = """
SELECT action FROM grants WHERE organization_id = :organization AND type = :type AND resource_id = :id
AND (expires_at IS NULL OR expires_at > clock_timestamp()) AND (
  user_id = :user OR team_id IN (
    SELECT team_id FROM team_memberships WHERE organization_id = :organization AND user_id = :user
    AND (expires_at IS NULL OR expires_at > clock_timestamp())
  )
)
"""


async def registering(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Register an object that may have been there, or said to be somebody else's."""
    type = chance.choice(list(cast.world.service.catalog.types))
    name, creator = f"{type}:{chance.choice(NAMES)}", _creator(cast, team, chance, type)
    answer = await register(team, name, by, creator)
    return cast.answered(team, answer)


async def removal(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Remove an object."""
    type = chance.choice(list(cast.world.service.catalog.types))
    return cast.answered(team, await remove(team, f"{type}:{chance.choice(NAMES)}", by))


async def many(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Register and remove several at once, among them perhaps one that cannot be."""
    wanted = []
    for type in cast.world.service.catalog.types:
        for name in chance.sample([*NAMES, "four", "five"], 2):
            operation = chance.choice(["register", "remove"])
            creator = _creator(cast, team, chance, type) if operation == "register" else None
            wanted.append(item(f"{type}:{name}", operation, creator))
    return cast.answered(team, await batch(team, chance.sample(wanted, 2), by))


async def granting(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Grant something on an object, or take it back."""
    async with cast.world.service.reads() as session:
        mine = select(Resource).where(
            Resource.organization_id == team.id, Resource.removed_at.is_(None)
        )
        found = list(await session.scalars(mine.order_by(Resource.type, Resource.id)))
    if not found:
        return "nothing to grant"
    on = chance.choice(found)
    verbs = list(cast.world.service.catalog.types[on.type].actions)
    now = await cast.world.service.now()
    wanted = {}
    for _ in range(chance.choice([0, 1, 1, 2])):
        whom, verb = chance.choice(cast.people(team)), chance.choice(verbs)
        end = chance.choice([None, (now + timedelta(days=1)).isoformat()])
        wanted[whom.id, verb] = to(whom, verb, expires_at=end)
    return cast.answered(team, await grant(team, f"{on.type}:{on.id}", *wanted.values(), by=by))


async def may_to_objects_what_was_given(cast: Cast, team: Team, person: Person) -> None:
    """What the organization's permissions allow, or a grant does; four eyes never the creator."""
    catalog, engine = cast.world.service.catalog, cast.world.service.engine
    asked = {MEMBERSHIP, *(action.permission for action in catalog.actions.values())}
    everywhere = await engine.permitted(organization(team.id), asked, user(person.id))
    expected: dict[Question, bool] = {}
    async with cast.world.service.reads() as session:
        mine = select(Resource).where(Resource.organization_id == team.id)
        for each in await session.scalars(mine):
            keys = {"organization": team.id, "type": each.type, "id": each.id, "user": person.id}
            granted = set(await session.scalars(text(GRANTED), keys))
            for verb, name in catalog.types[each.type].actions.items():
                action = catalog.actions[name]
                question = Question(each.reference, verb, user(person.id))
                here = action.permission in everywhere
                here |= verb in granted and MEMBERSHIP in everywhere
                own = action.four_eyes and each.creator == person.id
                expected[question] = here and each.removed_at is None and not own
    found = await engine.answers(list(expected))
    wrong = [each for each, told in zip(expected, found, strict=True) if told != expected[each]]
    assert wrong == []


def _creator(cast: Cast, team: Team, chance: Random, type: str) -> Person | None:
    """Somebody where one is demanded, and seldom where not."""
    demanded = cast.world.service.catalog.types[type].demands_creator
    return chance.choice(cast.people(team)) if demanded != (chance.random() < 0.1) else None
