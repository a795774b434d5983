"""The public keys with which an OpenID issuer signs, as it gives them out."""

import asyncio
import json
import time
from http.client import HTTPException
from typing import Any
from urllib.request import (
    HTTPRedirectHandler,
    ProxyHandler,
    Request,
    build_opener,
    getproxies,
)

import structlog

from teamaccess.common.errors import Unavailable
from teamaccess.common.urls import is_https_or_loopback

log = structlog.get_logger()

DISCOVERY = "/.well-known/openid-configuration"
LIFE_SECONDS = 300.0
"""After how long the keys are asked for again: a withdrawn one is refused from then on."""
PAUSE_SECONDS = 10.0
"""How often they are asked for at most, whatever keys tokens name."""
GRACE_SECONDS = 3600.0
"""How long known keys are good for while the issuer does not answer."""
TIMEOUT_SECONDS = 5.0
LARGEST_ANSWER = 1024 * 1024

Jwk = dict[str, Any]


class LoginUnavailable(Unavailable):
    """The OpenID issuer's keys cannot be fetched, so its tokens cannot be verified."""

    message = (
        "The OpenID issuer {issuer} does not answer, so its tokens can't be verified. Try again"
        " shortly."
    )


class NotTheIssuer(Exception):
    """What was answered is not what this issuer says of itself."""


class SigningKeys:
    """One issuer's keys, found by discovery and kept for a while."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.pause = PAUSE_SECONDS
        self._keys: dict[str, Jwk] = {}
        self._known_at = self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> Jwk | None:
        """Return the key that the issuer names so, None where it has none of that name.

        Raises LoginUnavailable.
        """
        busy = self._lock.locked() and kid in self._keys  # then what is known does for now
        if self._is_due(kid) and not busy:
            async with self._lock:
                if self._is_due(kid):  # another request may have asked meanwhile
                    await self._ask()
        age = time.monotonic() - self._known_at
        if age > GRACE_SECONDS or (kid not in self._keys and self._known_at < self._asked_at):
            raise LoginUnavailable(issuer=self.issuer)
        return self._keys.get(kid)

    def _is_due(self, kid: str) -> bool:
        now = time.monotonic()
        wanted = kid not in self._keys or now - self._known_at > LIFE_SECONDS
        return wanted and now - self._asked_at > self.pause

    async def _ask(self) -> None:
        try:
            self._keys = await asyncio.to_thread(_keys_of, self.issuer)
            self._asked_at = self._known_at = time.monotonic()
        except (NotTheIssuer, OSError, HTTPException, ValueError) as cause:
            self._asked_at = time.monotonic()
            log.warning("login_unavailable", issuer=self.issuer, cause=repr(cause))


def _keys_of(issuer: str) -> dict[str, Jwk]:
    """Ask for the keys for signatures, by name (OpenID Connect Discovery 1.0 section 4)."""
    about = _fetch(issuer.rstrip("/") + DISCOVERY)
    if about.get("issuer") != issuer:
        raise NotTheIssuer(f"it calls itself {about.get('issuer')!r}")
    keys = _fetch(str(about.get("jwks_uri"))).get("keys")
    if not isinstance(keys, list):
        raise NotTheIssuer("it has no keys")
    return {
        key["kid"]: key
        for key in keys
        if isinstance(key, dict)
        and isinstance(key.get("kid"), str)
        and key.get("use", "sig") == "sig"
    }


def _fetch(url: str) -> dict[str, Any]:
    if not is_https_or_loopback(url):
        raise NotTheIssuer(f"{url} is not under https")
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked above
    with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
        answer = json.loads(response.read(LARGEST_ANSWER))
    if not isinstance(answer, dict):
        raise NotTheIssuer(f"{url} answers something else")
    return answer


class _StayHere(HTTPRedirectHandler):
    """Follows nobody elsewhere: what is asked for is where the issuer says it is."""

    def redirect_request(self, *_: Any) -> None:
        return None


# SECURITY: plain http is for an issuer on this machine, and a proxy is elsewhere
_OPENER = build_opener(
    _StayHere, ProxyHandler({name: at for name, at in getproxies().items() if name == "https"})
)
