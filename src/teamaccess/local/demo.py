"""The demo organization of a new home, with tokens for its administrator and for an operator."""

from dataclasses import dataclass, field

from sqlalchemy import exists, select

from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.organizations import create
from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.ledger import Attribution
from teamaccess.service import Service
from teamaccess.storage import Channel, Organization, OrganizationId, User

ORGANIZATION = OrganizationId("acme")
ADMINISTRATOR = "ada@acme.example"
BY_DEV = Attribution("operator:dev", Channel.OPERATOR, "dev")
REASON = "the demo organization of `teamaccess dev`"


@dataclass(frozen=True)
class Demo:
    """The administrator of the demo organization, and tokens that are valid for twelve hours."""

    user: str
    user_token: str = field(repr=False)
    operator_token: str = field(repr=False)


async def provide_demo(service: Service) -> Demo:
    """Create the demo organization if there is no organization yet, and issue new tokens."""
    async with service.ledger.change(BY_DEV) as change:
        if not await change.session.scalar(select(exists(select(Organization)))):
            await create.create_organization(
                change, ORGANIZATION, "Acme", founder=None, reason=REASON
            )
            await grant_administrator(change, ORGANIZATION, ADMINISTRATOR, REASON)
            await service.ledger.commit(change)
    async with service.sessions() as session:
        user = await session.scalar(select(User.id).where(User.email == ADMINISTRATOR))
    now = await service.now()
    return Demo(
        user=str(user),
        user_token=issue_access_token(service.keys, Audience.USER, str(user), now, LONGEST_LIFE),
        operator_token=issue_access_token(
            service.keys, Audience.OPERATOR, "dev", now, LONGEST_LIFE
        ),
    )
