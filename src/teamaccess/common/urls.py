"""Checks of the addresses to which our own requests go, so that they travel safely."""

import os
import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
PARAMETER = re.compile(r"[A-Za-z_]+=.*", re.DOTALL)
STRICTER_THAN_REQUIRE = frozenset({"verify-ca", "verify-full"})
VISIBLE_ASCII = re.compile(r"[!-~]+")
"""The characters of an address. `urlsplit` alone would silently drop line breaks and tabs."""


def is_https_or_loopback(url: str) -> bool:
    """Return whether the URL uses https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )


def is_loopback(host: str) -> bool:
    """Return whether the host is `localhost` or a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local_endpoint(endpoint: str) -> bool:
    """Return whether a gRPC target is certainly on this machine: a loopback address or a unix socket.

    A target of any other form counts as remote, such as a list of addresses or one with a name server.
    """
    if endpoint.startswith("unix:"):
        return True
    target = re.fullmatch(
        r"(?:dns:(?:///)?|ipv[46]:)?(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):[0-9]+",
        endpoint,
    )
    return target is not None and is_loopback(target["six"] or target["host"])


def is_web_url(url: str) -> bool:
    """Return whether the URL is http or https with a host, without login, query and fragment."""
    parts = _split(url)
    return (
        parts is not None
        and parts.scheme in ("http", "https")
        and parts.username is None
        and not parts.query
        and not parts.fragment
    )


def is_smtp_url(url: str) -> bool:
    """Return whether the URL is smtp or smtps with a host."""
    parts = _split(url)
    return parts is not None and parts.scheme in ("smtp", "smtps")


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL with a valid host and port, None for any other text."""
    if not VISIBLE_ASCII.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return None
    return parts if HOST.fullmatch(host) or _is_ip(host) else None


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def is_postgres_url(url: str) -> bool:
    """Return whether the URL is one of PostgreSQL, and every parser reads it in the same way.

    SECURITY: a password that is not percent-encoded can move the host. In `ana:/secret@db.internal` one
    parser finds the host `ana` and decides on TLS by it. The driver's parser finds `db.internal` and
    connects to it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    at_signs = parts.netloc.count("@")
    # an "@" after the host may be the end of a password with a "/" or a "?"
    at_sign_after_host = "@" in parts.path or (
        "@" in parts.query and bool(parts.netloc) and not at_signs
    )
    return (
        parts.scheme.partition("+")[0] in ("postgresql", "postgres")
        and not parts.fragment
        and at_signs <= 1
        and not parts.netloc.endswith(":")
        and not at_sign_after_host
        and all(PARAMETER.fullmatch(part) for part in parts.query.split("&") if part)
    )


def asyncpg_url(url: str) -> str:
    """Return a libpq URL of PostgreSQL in SQLAlchemy's spelling for asyncpg.

    asyncpg reads libpq's `ssl...` parameters only from a `dsn`, so they move there. SECURITY: without
    `sslmode`, connections to other hosts use `require`. libpq's own default would fall back to plain
    text. A stricter mode in `PGSSLMODE`, which the driver reads by itself, stays in force.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    tls = [parameter for parameter in query if parameter[0].startswith("ssl")]
    rest = [parameter for parameter in query if not parameter[0].startswith("ssl")]
    stricter = os.environ.get("PGSSLMODE") in STRICTER_THAN_REQUIRE
    if not (dict(tls).get("sslmode") or stricter or _is_local_database(parts, rest)):
        tls.insert(0, ("sslmode", "require"))
    if tls:
        rest.append(("dsn", f"postgresql:///?{urlencode(tls)}"))
    return (
        "postgresql+asyncpg://"
        + parts.netloc
        + parts.path
        + (f"?{urlencode(rest)}" if rest else "")
    )


def _is_local_database(parts: SplitResult, query: list[tuple[str, str]]) -> bool:
    named = [value for name, value in query if name == "host"] or [parts.hostname or ""]
    # the driver reads the host from the environment if the URL has none
    hosts = [host for value in named for host in (value or os.environ.get("PGHOST", "")).split(",")]
    return all(not host or host.startswith("/") or is_loopback(host) for host in hosts)
