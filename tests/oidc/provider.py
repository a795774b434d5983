"""A real OpenID provider, and a person's browser that signs in there."""

import base64
import hashlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import jwt
import pytest

HERE = Path(__file__).parent
REDIRECT_URI = "http://127.0.0.1:1/back"
CLIENT = "site"


@dataclass
class Provider:
    """A provider that runs, or can be started again with other keys."""

    port: int
    process: subprocess.Popen[str]
    reported: dict[str, Any]

    @classmethod
    def start(cls, port: int | None = None) -> "Provider":
        """Start it, on a free port unless one is given; a missing Node fails the test."""
        node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
        if node is None:
            pytest.fail("The tests of logins need Node.js: `make test` brings it.")
        if not (HERE / "node_modules").exists():
            pytest.fail("The tests of logins need their provider: `make test` brings it.")
        if port is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        process = subprocess.Popen(
            [node, str(HERE / "provider.mjs"), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout
        for line in process.stdout:
            if line.startswith("{"):
                return cls(port, process, json.loads(line))
        raise AssertionError(f"the provider ended with {process.wait()}")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()

    def restart(self) -> None:
        """Start it again in the same place, with other keys."""
        self.stop()
        again = Provider.start(self.port)
        self.process, self.reported = again.process, again.reported

    @property
    def issuer(self) -> str:
        """The provider's issuer."""
        issuer: str = self.reported["issuer"]
        return issuer

    def key(self, algorithm: str = "RS256") -> dict[str, Any]:
        """One of its private keys."""
        return next(key for key in self.reported["keys"] if key["alg"] == algorithm)

    def sign(self, claims: dict[str, Any], algorithm: str = "RS256", **header: Any) -> str:
        """A signed token with these claims."""
        key = self.key(algorithm)
        headers = {"kid": key["kid"], "typ": "at+jwt", **header}
        return jwt.encode(claims, jwt.PyJWK(key).key, algorithm, headers=headers)


async def sign_in(issuer: str, login: str, resource: str) -> str:
    """Sign in as a browser and its program do, with authorization code and PKCE.

    Returns the access token. Every consent is given.
    """
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    async with httpx.AsyncClient(base_url=issuer) as browser:
        answer = await browser.get(
            "/auth",
            params={
                "client_id": CLIENT,
                "redirect_uri": REDIRECT_URI,
                "response_type": "code",
                "scope": "openid use",
                "resource": resource,
                "code_challenge": challenge.decode(),
                "code_challenge_method": "S256",
            },
        )
        while True:
            where = urljoin(str(answer.url), answer.headers["Location"])
            if where.startswith(REDIRECT_URI):
                break
            if "/interaction/" in where:
                page = await browser.get(where)
                prompt = "login" if 'value="login"' in page.text else "consent"
                answer = await browser.post(
                    where, data={"prompt": prompt, "login": login, "password": "any"}
                )
            else:
                answer = await browser.get(where)
        granted = await browser.post(
            "/token",
            data={
                "grant_type": "authorization_code",
                "client_id": CLIENT,
                "redirect_uri": REDIRECT_URI,
                "code": parse_qs(urlsplit(where).query)["code"][0],
                "code_verifier": verifier,
                "resource": resource,
            },
        )
    token: str = granted.raise_for_status().json()["access_token"]
    return token
