"""Where requests of our own go: nobody on the way reads or alters them."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_private_enough(url: str) -> bool:
    """Return whether it is an address under https, or under http on this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
