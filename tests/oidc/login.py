"""A user with a login at the OpenID provider, who sends its tokens."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.oidc.provider import Provider
from tests.support.deployment import Deployment

API = "https://api.example"
"""The audience of the tokens."""


@dataclass
class Login:
    """A user with a login at the provider. `eve~acme.example` has a verified address there."""

    provider: Provider
    deployment: Deployment
    name: str

    def claims(self, **instead: Any) -> dict[str, Any]:
        """The claims of a valid token, with changes. `...` leaves a claim out."""
        now = int(time.time())
        good = {
            "iss": self.provider.issuer,
            "sub": self.name,
            "aud": API,
            "iat": now,
            "exp": now + 600,
        }
        if "~" in self.name:
            email = self.name.replace("~", "@").removeprefix("unverified-")
            verified = not self.name.startswith("unverified-")
            good |= {"email": email, "email_verified": verified}
        return {name: value for name, value in {**good, **instead}.items() if value is not ...}

    def token(self, **instead: Any) -> str:
        """A token with these claims."""
        return self.provider.sign(self.claims(**instead))

    async def me(self, token: str | None = None) -> httpx.Response:
        """Request the caller's own profile."""
        return await self.ask("GET", "/v1/me", token)

    async def ask(
        self, method: str, path: str, token: str | None = None, **more: Any
    ) -> httpx.Response:
        """Send a request with a token of the provider."""
        bearer = token if token is not None else self.token()
        headers = {"Authorization": f"Bearer {bearer}"}
        return await self.deployment.http.request(method, path, headers=headers, **more)
