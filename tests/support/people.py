"""People and service accounts that call the API."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from teamaccess.storage import UserId

if TYPE_CHECKING:
    from tests.support.deployment import Deployment
    from tests.support.organization import Organization


@dataclass
class Person:
    """A user with a token. A person without one is made with an empty token."""

    deployment: "Deployment"
    id: UserId
    email: str
    token: str

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request with this person's token; `headers` and `json` as httpx takes them."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return await self.deployment.http.request(method, path, headers=headers, **more)

    def on_behalf_of(self, user: str) -> "OnBehalf":
        """This caller with the header that names another user. Only service accounts may send it."""
        return OnBehalf(self.deployment, self.id, self.email, self.token, user)


@dataclass
class OnBehalf(Person):
    """A caller that acts for another user in every request."""

    user: str

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request on behalf of the user."""
        headers = {"Teamaccess-On-Behalf-Of": self.user, **more.pop("headers", {})}
        return await super().ask(method, path, headers=headers, **more)


@dataclass
class ServiceAccount(Person):
    """A service account of an organization. It can sign in once it has a token."""

    organization: "Organization"

    async def create_token(self, by: Person | None = None, **more: Any) -> dict[str, Any]:
        """Create an API token and use it from now on. Returns the response's body."""
        answer = await (by or self.organization.administrator).ask(
            "POST",
            f"{self.organization.path}/service-accounts/{self.id}/tokens",
            json={"name": "on the server", **more},
        )
        assert answer.status_code == 201, answer.text
        token: dict[str, Any] = answer.json()
        self.token = token["secret"]
        return token
