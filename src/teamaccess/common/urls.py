"""Checks of the addresses to which our own requests go, so that they travel safely."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
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
