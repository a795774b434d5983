"""Teams as tests tell of them; what tests call a `Team` is an organization, so these are crews."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from teamaccess.storage import RoleId, TeamId, TeamMembership, TeamRole
from tests.support.organization import Organization
from tests.support.people import Person


@dataclass(frozen=True)
class Team:
    """A team of an organization's, asked for over the API by the administrator or somebody else."""

    organization: Organization
    id: TeamId

    @classmethod
    async def create(cls, organization: Organization, id: str, *roles: str) -> "Team":
        """Make one that holds these roles."""
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
        self, whom: Person, until: datetime | None = None, by: Person | None = None
    ) -> httpx.Response:
        """Have somebody be in it, without a body where there is no end."""
        body = {"json": {"expires_at": until.isoformat()}} if until is not None else {}
        return await self._by(by).ask("PUT", f"{self.path}/members/{whom.id}", **body)

    async def remove_member(self, whom: Person, by: Person | None = None) -> httpx.Response:
        """Take somebody out."""
        return await self._by(by).ask("DELETE", f"{self.path}/members/{whom.id}")

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
        """End it."""
        return await self._by(by).ask("DELETE", self.path)

    async def member_ids(self) -> list[str]:
        """Who is in it, as the API lists them."""
        listed = await self.organization.administrator.ask("GET", f"{self.path}/members")
        return [each["user"] for each in listed.raise_for_status().json()["items"]]

    async def set_membership_expiry(self, whom: Person, at: datetime | None) -> None:
        """Write an end into somebody's place, past ends too."""
        async with self.organization.deployment.operator(self.organization.id) as change:
            place = await change.session.get_one(
                TeamMembership, (self.organization.id, self.id, whom.id)
            )
            place.expires_at = at

    async def set_role_expiry(self, role: str, at: datetime | None) -> None:
        """Write an end into a role that it holds, past ends too."""
        async with self.organization.deployment.operator(self.organization.id) as change:
            held = await change.session.get_one(
                TeamRole, (self.organization.id, self.id, RoleId(role))
            )
            held.expires_at = at

    def _by(self, person: Person | None) -> Person:
        return person or self.organization.administrator
