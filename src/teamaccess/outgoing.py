"""Where requests of our own go: nobody on the way reads or alters them."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
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
