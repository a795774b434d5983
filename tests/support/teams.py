"""Teams of an organization, over the API."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from teamaccess.storage import RoleId, TeamId, TeamMembership, TeamRole
from tests.support.organization import Organization
from tests.support.people import Person


@dataclass(frozen=True)
class Team:
    """A team of an organization. Where a method takes `by`, the administrator is the default."""

    organization: Organization
    id: TeamId

    @classmethod
    async def create(cls, organization: Organization, id: str, *roles: str) -> "Team":
        """Create a team that holds these roles."""
        team = cls(organization, TeamId(id))
        body = {"id": id, "name": id.title()}
        made = await organization.administrator.ask("POST", f"{organization.path}/teams", json=body)
        assert made.status_code == 201, made.text
        if roles:
            (await team.set_roles(*roles)).raise_for_status()
        return team

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"{self.organization.path}/teams/{self.id}"

    async def add_member(
        self, target: Person, until: datetime | None = None, by: Person | None = None
    ) -> httpx.Response:
        """Add a member, without a body if there is no expiry."""
        body = {"json": {"expires_at": until.isoformat()}} if until is not None else {}
        return await self._by(by).ask("PUT", f"{self.path}/members/{target.id}", **body)

    async def remove_member(self, target: Person, by: Person | None = None) -> httpx.Response:
        """Remove a member."""
        return await self._by(by).ask("DELETE", f"{self.path}/members/{target.id}")

    async def set_roles(
        self,
        *roles: str,
        by: Person | None = None,
        headers: dict[str, str] | None = None,
        **ends: datetime | None,
    ) -> httpx.Response:
        """Have it hold exactly these roles, some until a time."""
        wanted: list[dict[str, Any]] = [{"role": role} for role in roles]
        wanted += [
            {"role": role, "expires_at": until.isoformat() if until else None}
            for role, until in ends.items()
        ]
        return await self._by(by).ask(
            "PUT", f"{self.path}/roles", json={"roles": wanted}, headers=headers or {}
        )

    async def delete(self, by: Person | None = None) -> httpx.Response:
        """Delete the team."""
        return await self._by(by).ask("DELETE", self.path)

    async def member_ids(self) -> list[str]:
        """The ids of the members, as the API lists them."""
        listed = await self.organization.administrator.ask("GET", f"{self.path}/members")
        return [each["user"] for each in listed.raise_for_status().json()["items"]]

    async def set_membership_expiry(self, target: Person, at: datetime | None) -> None:
        """Set when a team membership expires. The time may be past."""
        async with self.organization.deployment.operator(self.organization.id) as change:
            place = await change.session.get_one(
                TeamMembership, (self.organization.id, self.id, target.id)
            )
            place.expires_at = at

    async def set_role_expiry(self, role: str, at: datetime | None) -> None:
        """Set when a role of the team expires. The time may be past."""
        async with self.organization.deployment.operator(self.organization.id) as change:
            held = await change.session.get_one(
                TeamRole, (self.organization.id, self.id, RoleId(role))
            )
            held.expires_at = at

    def _by(self, person: Person | None) -> Person:
        return person or self.organization.administrator
