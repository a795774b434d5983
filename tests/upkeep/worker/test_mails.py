"""The worker forgets mails that no limit counts any more, and no others."""

from datetime import timedelta

from sqlalchemy import select

from teamaccess.directory.invitations.delivery import forget_mails
from teamaccess.storage import InvitationMail
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import running_worker, wait_until


async def mailboxes(organization: Organization) -> list[str]:
    """The mailboxes of the organization's mails that are counted, in order."""
    wanted = InvitationMail.organization_id == organization.id
    async with organization.deployment.service.reads() as session:
        return sorted(await session.scalars(select(InvitationMail.mailbox).where(wanted)))


async def test_mails_are_forgotten_after_a_day(acme: Organization) -> None:
    ids = {name: (await acme.invite(name, ["support"])).json()["id"] for name in ("new", "old")}
    await acme.backdate_invitation(ids["old"], by=timedelta(days=1))
    assert await mailboxes(acme) == [acme.address("new"), acme.address("old")]

    service = acme.deployment.service
    assert await forget_mails(service.sessions, await service.now()) >= 1

    assert await mailboxes(acme) == [acme.address("new")]


async def test_the_worker_forgets_mails(fintoc: Deployment, acme: Organization) -> None:
    id = (await acme.invite("old", ["support"])).json()["id"]
    await acme.backdate_invitation(id, by=timedelta(days=1))

    async with running_worker(fintoc):

        async def forgotten() -> bool:
            return await mailboxes(acme) == []

        await wait_until(forgotten)
