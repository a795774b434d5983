"""Who may make a change: whoever makes it as if and is not refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, Text, any_, bindparam, select

from teamaccess.audit.questions.people import Person
from teamaccess.audit.remedies.steps import Step
from teamaccess.changes import Ledger, OrganizationChange, Rehearsal
from teamaccess.common.errors import TeamaccessError, Unavailable
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Channel, OrganizationId, User, UserId

REQUEST = "rehearsal"
OPERATOR = Attribution("operator:rehearsal", Channel.OPERATOR, REQUEST)
PEOPLE = select(User.id, User.email, User.name).where(
    User.id == any_(bindparam("users", type_=ARRAY(Text))), User.service_account_of.is_(None)
)
MOST_FOR_ONE = 50
"""Rehearsals for one question: each keeps the organization's other changes waiting for some 30 ms."""


async def deciders(reads: Sessions, users: Iterable[UserId]) -> list[Person]:
    """Return those who are people, in the order of their ids: machines decide nothing."""
    async with reads() as session:
        rows = await session.execute(PEOPLE, {"users": list(users)})
        return sorted(Person(*row) for row in rows)


@dataclass
class Rehearsals:
    """Changes made as if, as many as one question may cost."""

    ledger: Ledger
    organization: OrganizationId
    asker: str = ""
    """The caller whose turns they take."""
    left: int = MOST_FOR_ONE

    async def by(self, person: UserId, steps: Sequence[Step]) -> Rehearsal | None:
        """Return what it would come to if somebody took the steps, None where they may not.

        Raises what is no judgement of theirs: OrganizationBusy, OrganizationStopped, OtherHistory and
        EngineUnavailable.
        """
        attribution = Attribution(f"user:{person}", Channel.API, REQUEST)
        return await self._made(attribution, steps)

    async def by_operator(self, steps: Sequence[Step]) -> Rehearsal | None:
        """Return the same for whoever runs the service."""
        return await self._made(OPERATOR, steps)

    async def _made(self, attribution: Attribution, steps: Sequence[Step]) -> Rehearsal | None:
        async def act(change: OrganizationChange) -> None:
            for step in steps:
                await step.act(change)
                await change.session.flush()

        self.left -= 1
        try:
            return await self.ledger.rehearse(attribution, self.organization, act, self.asker)
        except Unavailable:
            raise
        except TeamaccessError:
            return None
