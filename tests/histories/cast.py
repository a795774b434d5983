"""Organizations and people who come and go in them, as a random history needs them."""

import email
import email.policy
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx
from sqlalchemy import select

from teamaccess.changes import Receipt
from teamaccess.delivery import Applier
from teamaccess.ledger import create_pool
from teamaccess.storage import Invitation, Membership, RoleAssignment, User, UserId
from tests.support.sides import entries
from tests.support.spicedb_proxy import Link, Writes, through
from tests.support.world import Person, Team, World

GUESTS = ("bob", "dan", "eve", "fay")
OWN_ROLES = ("night", "guard", "purser")
"""What organizations call roles of their own, once they have made them."""


@dataclass
class Guest:
    """Somebody with an address, who may be invited anywhere, and signs in once they were."""

    address: str
    secrets: list[str] = field(default_factory=list)
    """Of every mail they got, the oldest first."""
    person: Person | None = None


@dataclass
class Cast:
    """Who takes part in one history; everything they do goes through a link that may be broken."""

    world: World
    link: Link
    elsewhere: World
    """Another process, whose link is never broken."""
    teams: list[Team]
    guests: list[Guest]
    ended: list[Team] = field(default_factory=list)
    machines: list[tuple[Team, Person]] = field(default_factory=list)
    """Service accounts, those that have ended among them, each with its organization."""
    behind: set[str] = field(default_factory=set)
    """The organizations of which something decided may not have arrived."""

    @property
    def roles(self) -> list[str]:
        """Every role of the catalog."""
        return list(self.world.service.catalog.roles)

    @property
    def every_role(self) -> list[str]:
        """Those, and what an organization may have made."""
        return [*self.roles, *OWN_ROLES]

    async def found(self, name: str) -> None:
        """Let an operator found another organization."""
        self.teams.append(through(self.world, await self.elsewhere.create(name)))

    def people(self, team: Team) -> list[Person]:
        """Everybody who ever signed in, the organization's founder first."""
        known = [guest.person for guest in self.guests if guest.person is not None]
        return [team.administrator, *(each for each in known if each.id != team.administrator.id)]

    async def administrators(self, team: Team) -> set[UserId]:
        """The people who are active administrators without an end, as the rows say."""
        async with self.world.service.reads() as session:
            return set(
                await session.scalars(
                    select(RoleAssignment.user_id)
                    .join(
                        Membership,
                        (Membership.organization_id == RoleAssignment.organization_id)
                        & (Membership.user_id == RoleAssignment.user_id),
                    )
                    .join(Membership.user)
                    .where(
                        User.service_account_of.is_(None),
                        RoleAssignment.organization_id == team.id,
                        RoleAssignment.role == self.world.service.catalog.administrator,
                        RoleAssignment.expires_at.is_(None),
                        Membership.suspended_at.is_(None),
                        Membership.expires_at.is_(None),
                    )
                )
            )

    async def invitations(self, team: Team) -> list[str]:
        """The ids of all invitations, the oldest first."""
        async with self.world.service.reads() as session:
            return list(
                await session.scalars(
                    select(Invitation.id)
                    .where(Invitation.organization_id == team.id)
                    .order_by(Invitation.created_at, Invitation.id)
                )
            )

    def open_mails(self) -> None:
        """Let everybody read what has come for them."""
        for path in sorted((self.world.settings.home / "mail").glob("*.eml")):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            match = re.search(r"[?&]token=([\w-]+)", str(mail.get_content()))
            assert match is not None
            for guest in self.guests:
                if guest.address == mail["To"]:
                    guest.secrets.append(match.group(1))
            path.unlink()

    def answered(self, team: Team, answer: httpx.Response) -> str:
        """Take an answer in; it may fail only for want of the engine. Returns its sense."""
        if answer.status_code >= 500:
            assert answer.json()["code"] == "organization_busy", answer.text
            self.excuse()
        elif answer.status_code == 202:
            self.received([Receipt(team.id, 1, None)])
        elif "Zed-Token" in answer.headers:
            self.received([Receipt(team.id, 1, answer.headers["Zed-Token"])])
        code = answer.json()["code"] if answer.status_code >= 400 else ""
        return f"{answer.request.method} {answer.request.url.path} {answer.status_code} {code}"

    def received(self, receipts: Iterable[Receipt]) -> None:
        """Take in how far a change has come."""
        for receipt in receipts:
            if receipt.pending:
                self.excuse()
                self.behind.add(receipt.organization)
            elif receipt.zed_token is not None:
                self.behind.discard(receipt.organization)

    def excuse(self) -> str:
        """Only a broken link is one."""
        assert self.link.writes is Writes.FAIL
        return "the link is broken"

    async def mend(self) -> None:
        """Mend the link, and have another process bring in all that is pending anywhere."""
        self.link.writes = Writes.ARRIVE
        settings = self.world.settings
        marks = create_pool(settings.sqlalchemy_url, connections=1)
        applier = Applier(self.world.service.engine, marks)
        for team in [*self.teams, *self.ended]:
            if await entries(team):
                await applier.catch_up(team.id)
        await marks.dispose()
        self.behind.clear()


async def gather_cast(world: World, link: Link, elsewhere: World) -> Cast:
    """Two new organizations, and guests whom nobody knows yet."""
    link.writes = Writes.ARRIVE
    mark = secrets.token_hex(4)
    guests = [Guest(f"{name}@{mark}.example") for name in GUESTS]
    cast = Cast(world, link, elsewhere, teams=[], guests=guests)
    for name in ("acme", "globex"):
        await cast.found(name)
    return cast
