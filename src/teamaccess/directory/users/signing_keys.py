"""The public keys of an OpenID issuer, fetched from the address that it publishes."""

import asyncio
import time
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    ProxyHandler,
    Request,
    build_opener,
    getproxies,
    proxy_bypass,
)

import structlog

from teamaccess.common.errors import Unavailable
from teamaccess.common.formats.duplicates import RepeatedKey, read_json
from teamaccess.common.urls import is_https_or_loopback, is_loopback

log = structlog.get_logger()

DISCOVERY = "/.well-known/openid-configuration"
LIFE_SECONDS = 300.0
"""After how long the keys are fetched again. From then on, a withdrawn key is refused."""
PAUSE_SECONDS = 10.0
"""The shortest time between two fetches, whatever keys tokens name."""
GRACE_SECONDS = 3600.0
"""How long known keys remain in use while the issuer does not answer."""
TIMEOUT_SECONDS = 5.0
LARGEST_ANSWER = 1024 * 1024

Jwk = dict[str, Any]

KINDS_OF_KEYS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""The `kty` that the beginning of an algorithm's name requires (RFC 7518 section 6.1, RFC 8037)."""
CURVES = {
    "ES256": {"P-256"},
    "ES384": {"P-384"},
    "ES512": {"P-521"},
    "EdDSA": {"Ed25519", "Ed448"},
}


class LoginUnavailable(Unavailable):
    """The OpenID issuer's keys cannot be fetched, so its tokens cannot be verified."""

    message = (
        "The tokens of the OpenID issuer {issuer} can't be verified, because its keys can't be"
        " fetched: {cause}. Try again shortly."
    )


class NotTheIssuer(Exception):
    """The answer is not the metadata or the keys of this issuer."""


class ProxyFailed(OSError):
    """The issuer could not be asked through the proxy that the environment names."""


class SigningKeys:
    """One issuer's keys, found by discovery and kept for a while.

    A set may name several keys alike, for example one for each algorithm (RFC 7517 section 4.5). So all
    keys are kept, and `find` chooses among them.
    """

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.pause = PAUSE_SECONDS
        self.problem: str | None = None
        """Why the keys could not be fetched the last time; None if they could, or were not needed yet."""
        self._keys: list[Jwk] = []
        self._known_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def known(self) -> bool:
        """Whether the keys were ever fetched."""
        return self._known_at > float("-inf")

    async def find(self, kid: str | None, algorithm: str) -> list[Jwk]:
        """Return the keys that a token of this algorithm can be signed with; none if there are none.

        With a `kid` these are the keys of that name, otherwise all of them. Raises LoginUnavailable.
        """
        # while another request fetches, the known keys suffice
        suffices = self._lock.locked() and self._fitting(kid, algorithm)
        if self._is_due(kid, algorithm) and not suffices:
            async with self._lock:
                if self._is_due(kid, algorithm):  # another request may have fetched them meanwhile
                    await self._fetch_keys()
        age = time.monotonic() - self._known_at
        found = self._fitting(kid, algorithm)
        if age > GRACE_SECONDS or (not found and self._known_at < self._tried_at):
            raise LoginUnavailable(issuer=self.issuer, cause=self.problem)
        return found

    async def refresh(self) -> None:
        """Fetch the keys again if they are due, so that a problem shows before a person signs in."""
        if self._is_old() and not self._lock.locked():
            async with self._lock:
                await self._fetch_keys()

    def _fitting(self, kid: str | None, algorithm: str) -> list[Jwk]:
        return [
            key
            for key in self._keys
            if (kid is None or key.get("kid") == kid) and _is_for(key, algorithm)
        ]

    def _is_due(self, kid: str | None, algorithm: str) -> bool:
        unknown = not self._fitting(kid, algorithm)
        return self._is_old() or (unknown and self._may_fetch())

    def _is_old(self) -> bool:
        return time.monotonic() - self._known_at > LIFE_SECONDS and self._may_fetch()

    def _may_fetch(self) -> bool:
        return time.monotonic() - self._tried_at > self.pause

    async def _fetch_keys(self) -> None:
        try:
            self._keys = await asyncio.to_thread(_keys_of, self.issuer)
            self._tried_at = self._known_at = time.monotonic()
            self.problem = None
        except (NotTheIssuer, OSError, HTTPException, ValueError) as cause:
            self._tried_at = time.monotonic()
            self.problem = (
                str(cause) if isinstance(cause, NotTheIssuer) else f"it does not answer ({cause})"
            )
            log.warning("login_unavailable", issuer=self.issuer, cause=self.problem)


def describe_misspelling(named: str, issuer: str) -> str:
    """Return how the issuer's own name differs from the one of the settings."""
    if named.rstrip("/") == issuer.rstrip("/"):
        return (
            f"the issuer calls itself {named}, and TEAMACCESS_OIDC_ISSUER is {issuer}. They differ only"
            f" in the slash at the end. Set TEAMACCESS_OIDC_ISSUER to {named}"
        )
    return f"the issuer calls itself {named}, and TEAMACCESS_OIDC_ISSUER is {issuer}"


def _is_for(key: Jwk, algorithm: str) -> bool:
    """Return whether the key can verify signatures of the algorithm (RFC 7517 section 4)."""
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == KINDS_OF_KEYS.get(algorithm[:2])
        and key.get("alg", algorithm) == algorithm
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and (algorithm not in CURVES or key.get("crv") in CURVES[algorithm])
    )


def _keys_of(issuer: str) -> list[Jwk]:
    """Ask for all keys of the issuer (OpenID Connect Discovery 1.0 section 4)."""
    about = _fetch(issuer.rstrip("/") + DISCOVERY)
    if (named := about.get("issuer")) != issuer:
        raise NotTheIssuer(describe_misspelling(str(named), issuer))
    keys = _fetch(str(about.get("jwks_uri"))).get("keys")
    if not isinstance(keys, list):
        raise NotTheIssuer("the issuer publishes no keys")
    return [key for key in keys if isinstance(key, dict)]


def _fetch(url: str) -> dict[str, Any]:
    if not is_https_or_loopback(url):
        raise NotTheIssuer(f"{url} is not under https")
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked above
    proxy = _proxy_for(url)
    opener = _THROUGH_PROXY if proxy else _DIRECT
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            answer = read_json(response.read(LARGEST_ANSWER))
    except RepeatedKey as repeated:
        raise NotTheIssuer(f"the answer of {url} is ambiguous: {repeated}") from None
    except RecursionError:
        raise NotTheIssuer(f"the answer of {url} is nested too deeply") from None
    except (OSError, HTTPException) as cause:
        if proxy is None:
            raise
        raise ProxyFailed(f"{cause}, through the proxy {proxy} in https_proxy") from cause
    if not isinstance(answer, dict):
        raise NotTheIssuer(f"{url} does not answer with a JSON object")
    return answer


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: the metadata and the keys are at the addresses that the issuer publishes."""

    def redirect_request(self, *_: Any) -> None:
        return None


_PROXIES = {name: at for name, at in getproxies().items() if name == "https"}
# SECURITY: plain http is for an issuer on this machine, so it never goes through a proxy
_DIRECT = build_opener(_NoRedirects, ProxyHandler({}))
_THROUGH_PROXY = build_opener(_NoRedirects, ProxyHandler(_PROXIES))


def _proxy_for(url: str) -> str | None:
    """Return host and port of the proxy for the URL, None without one. It cannot reach this machine."""
    host = urlsplit(url).hostname or ""
    if "https" not in _PROXIES or is_loopback(host) or proxy_bypass(host):
        return None
    return urlsplit(_PROXIES["https"]).netloc.rpartition("@")[2]  # never its password
