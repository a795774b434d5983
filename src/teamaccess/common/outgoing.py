"""Where requests of our own go: nobody on the way reads or alters them."""

import os
import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
PARAMETER = re.compile(r"[A-Za-z_]+=.*", re.DOTALL)
STRICTER_THAN_REQUIRE = frozenset({"verify-ca", "verify-full"})
WRITTEN = re.compile(r"[!-~]+")
"""An address is of visible ASCII; `urlsplit` would silently drop line breaks and tabs."""


def is_private_enough(url: str) -> bool:
    """Return whether it is an address under https, or under http on this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )


def is_loopback(host: str) -> bool:
    """Return whether the host is this machine: `localhost`, or a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local_endpoint(endpoint: str) -> bool:
    """Return whether a gRPC target can be nowhere but on this machine: loopback, or a unix socket.

    Whatever is not understood is elsewhere, such as a list of addresses or a name server of its own.
    """
    if endpoint.startswith("unix:"):
        return True
    target = re.fullmatch(
        r"(?:dns:(?:///)?|ipv[46]:)?(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):[0-9]+",
        endpoint,
    )
    return target is not None and is_loopback(target["six"] or target["host"])


def is_web_address(url: str) -> bool:
    """Return whether it is http or https with a host, and neither a login nor a query nor a fragment."""
    parts = _split(url)
    return (
        parts is not None
        and parts.scheme in ("http", "https")
        and parts.username is None
        and not parts.query
        and not parts.fragment
    )


def is_mail_server(url: str) -> bool:
    """Return whether it is smtp or smtps with a host."""
    parts = _split(url)
    return parts is not None and parts.scheme in ("smtp", "smtps")


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address that has a host and a port that can be; None otherwise."""
    if not WRITTEN.fullmatch(url):
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


def is_database(url: str) -> bool:
    """Return whether it is PostgreSQL's URL, and can be read in one way alone.

    SECURITY: a password that is not percent-encoded moves the host. In `ana:/secret@db.internal` one
    parser finds the host `ana` and decides on TLS; the driver's finds `db.internal` and connects to it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    login, host = parts.netloc.count("@"), not parts.netloc.endswith(":")
    # an "@" behind the host may be the end of a password that has a "/" or a "?"
    behind = "@" in parts.path or ("@" in parts.query and bool(parts.netloc) and not login)
    return (
        parts.scheme.partition("+")[0] in ("postgresql", "postgres")
        and not parts.fragment
        and login <= 1
        and host
        and not behind
        and all(PARAMETER.fullmatch(each) for each in parts.query.split("&") if each)
    )


def driver_url(url: str) -> str:
    """Return a libpq URL of PostgreSQL as SQLAlchemy spells it for asyncpg, over TLS to other hosts.

    Of libpq's `ssl...` parameters the driver learns by a `dsn` alone. Without `sslmode` another host is
    asked with `require`: libpq's own default sends a password in plain text to whoever asks for that. A
    stricter mode in `PGSSLMODE` stays, which the driver reads by itself.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    tls = [each for each in query if each[0].startswith("ssl")]
    rest = [each for each in query if not each[0].startswith("ssl")]
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
    # the driver asks the environment where a URL names no host
    hosts = [each for host in named for each in (host or os.environ.get("PGHOST", "")).split(",")]
    return all(not host or host.startswith("/") or is_loopback(host) for host in hosts)
