"""Find out whether a person may make a change: rehearse it as that person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, Text, any_, bindparam, select

from teamaccess.audit.questions.people import Person
from teamaccess.audit.remedies.steps import Step
from teamaccess.changes import Ledger, OrganizationChange, Rehearsal
from teamaccess.common.errors import TeamaccessError, Unavailable
from teamaccess.common.sharing.loop_share import resting_after
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Channel, OrganizationId, User, UserId

REQUEST = "rehearsal"
OPERATOR = Attribution("operator:rehearsal", Channel.OPERATOR, REQUEST)
PEOPLE = select(User.id, User.email, User.name).where(
    User.id == any_(bindparam("users", type_=ARRAY(Text))), User.service_account_of.is_(None)
)
MOST_PER_QUESTION = 50
"""The most rehearsals for one question. Each delays the organization's other changes by about 30 ms."""


async def only_people(reads: Sessions, users: Iterable[UserId]) -> list[Person]:
    """Return the people among the users, in the order of their ids, without service accounts."""
    async with reads() as session:
        rows = await session.execute(PEOPLE, {"users": list(users)})
        return sorted(Person(*row) for row in rows)


@dataclass
class Rehearsals:
    """Rehearses changes for one question, which may need only a limited number of them."""

    ledger: Ledger
    organization: OrganizationId
    caller: str = ""
    """The caller who asked. The rehearsals take this caller's turns in the queue of changes."""
    remaining: int = MOST_PER_QUESTION

    async def as_person(self, person: UserId, steps: Sequence[Step]) -> Rehearsal | None:
        """Return the rehearsal of the steps by a person, None if they may not make them.

        Raises the errors that do not concern the person: OrganizationBusy, OrganizationStopped,
        OtherHistory and EngineUnavailable.
        """
        attribution = Attribution(f"user:{person}", Channel.API, REQUEST)
        return await self._rehearse(attribution, steps)

    async def as_operator(self, steps: Sequence[Step]) -> Rehearsal | None:
        """Return the rehearsal of the steps by an operator, None if operators may not make them."""
        return await self._rehearse(OPERATOR, steps)

    async def _rehearse(self, attribution: Attribution, steps: Sequence[Step]) -> Rehearsal | None:
        async def act(change: OrganizationChange) -> None:
            for step in steps:
                await step.act(change)
                await change.session.flush()

        self.remaining -= 1
        try:
            async with resting_after():
                return await self.ledger.rehearse(attribution, self.organization, act, self.caller)
        except Unavailable:
            raise
        except TeamaccessError:
            return None
