"""The organizations and people of a random history."""

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
from tests.support.agreement import ledger_entries
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import SpiceDBProxy, Writes, served_by

INVITEES = ("bob", "dan", "eve", "fay")
CUSTOM_ROLES = ("night", "guard", "purser")
"""The ids of custom roles."""


@dataclass
class Invitee:
    """A person with an address who can be invited anywhere, and signs in afterwards."""

    address: str
    secrets: list[str] = field(default_factory=list)
    """The secret of every mail that they got, the oldest first."""
    person: Person | None = None


@dataclass
class Simulation:
    """The state of one history. All requests go through a proxy that may be broken."""

    deployment: Deployment
    proxy: SpiceDBProxy
    other_process: Deployment
    """Another process, whose connection to SpiceDB is never broken."""
    organizations: list[Organization]
    invitees: list[Invitee]
    deleted: list[Organization] = field(default_factory=list)
    service_accounts: list[tuple[Organization, Person]] = field(default_factory=list)
    """Service accounts, including ended ones, each with its organization."""
    behind: set[str] = field(default_factory=set)
    """The organizations with positions that may not have arrived."""

    @property
    def roles(self) -> list[str]:
        """Every role of the catalog."""
        return list(self.deployment.service.catalog.roles)

    @property
    def every_role(self) -> list[str]:
        """The roles of the catalog, and the ids of custom roles."""
        return [*self.roles, *CUSTOM_ROLES]

    async def create_organization(self, name: str) -> None:
        """Create another organization as an operator."""
        self.organizations.append(
            served_by(self.deployment, await self.other_process.create_organization(name))
        )

    def people(self, organization: Organization) -> list[Person]:
        """Everybody who ever signed in, the organization's first administrator first."""
        known = [invitee.person for invitee in self.invitees if invitee.person is not None]
        return [
            organization.administrator,
            *(each for each in known if each.id != organization.administrator.id),
        ]

    async def administrators(self, organization: Organization) -> set[UserId]:
        """The people who are active administrators without expiry, read from the rows."""
        async with self.deployment.service.reads() as session:
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
                        RoleAssignment.organization_id == organization.id,
                        RoleAssignment.role == self.deployment.service.catalog.administrator,
                        RoleAssignment.expires_at.is_(None),
                        Membership.suspended_at.is_(None),
                        Membership.expires_at.is_(None),
                    )
                )
            )

    async def invitations(self, organization: Organization) -> list[str]:
        """The ids of all invitations, the oldest first."""
        async with self.deployment.service.reads() as session:
            return list(
                await session.scalars(
                    select(Invitation.id)
                    .where(Invitation.organization_id == organization.id)
                    .order_by(Invitation.created_at, Invitation.id)
                )
            )

    def read_mails(self) -> None:
        """Read all mails that have arrived."""
        for path in sorted((self.deployment.settings.home / "mail").glob("*.eml")):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            match = re.search(r"[?&]token=([\w-]+)", str(mail.get_content()))
            assert match is not None
            for invitee in self.invitees:
                if invitee.address == mail["To"]:
                    invitee.secrets.append(match.group(1))
            path.unlink()

    def record_answer(self, organization: Organization, answer: httpx.Response) -> str:
        """Record an answer.

        It may be an error only if the proxy is broken. Returns a description.
        """
        if answer.status_code >= 500:
            assert answer.json()["code"] == "organization_busy", answer.text
            self.assert_proxy_fails()
        elif answer.status_code == 202:
            self.record_receipts([Receipt(organization.id, 1, None)])
        elif "Zed-Token" in answer.headers:
            self.record_receipts([Receipt(organization.id, 1, answer.headers["Zed-Token"])])
        code = answer.json()["code"] if answer.status_code >= 400 else ""
        return f"{answer.request.method} {answer.request.url.path} {answer.status_code} {code}"

    def record_receipts(self, receipts: Iterable[Receipt]) -> None:
        """Record how far a change has come."""
        for receipt in receipts:
            if receipt.pending:
                self.assert_proxy_fails()
                self.behind.add(receipt.organization)
            elif receipt.zed_token is not None:
                self.behind.discard(receipt.organization)

    def assert_proxy_fails(self) -> str:
        """Assert that the proxy fails writes; return a description of the failure."""
        assert self.proxy.writes is Writes.FAIL
        return "the link is broken"

    async def repair(self) -> None:
        """Repair the proxy, and deliver everything pending from another process."""
        self.proxy.writes = Writes.ARRIVE
        settings = self.deployment.settings
        status_pool = create_pool(settings.sqlalchemy_url, connections=1)
        applier = Applier(self.deployment.service.engine, status_pool)
        for organization in [*self.organizations, *self.deleted]:
            if await ledger_entries(organization):
                await applier.catch_up(organization.id)
        await status_pool.dispose()
        self.behind.clear()


async def create_simulation(
    deployment: Deployment, proxy: SpiceDBProxy, other_process: Deployment
) -> Simulation:
    """Two new organizations, and invitees who are unknown everywhere."""
    proxy.writes = Writes.ARRIVE
    domain = f"{secrets.token_hex(4)}.example"
    invitees = [Invitee(f"{name}@{domain}") for name in INVITEES]
    simulation = Simulation(deployment, proxy, other_process, organizations=[], invitees=invitees)
    for name in ("acme", "globex"):
        await simulation.create_organization(name)
    return simulation
