"""Checks of the addresses to which our own requests go, so that they travel safely."""

import re
from email.utils import parseaddr
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
SERVER = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
UNENCODED_IN_LOGIN = re.compile(r"[^!-~]|[/?#@\[\]]|%(?![0-9A-Fa-f]{2})")
"""What must be percent-encoded in a user and a password."""
MAIL_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
)
HIGHEST_PORT = 65535
VISIBLE_ASCII = re.compile(r"[!-~]+")
"""The characters of an address. `urlsplit` alone would silently drop line breaks and tabs."""


def is_https_or_loopback(url: str) -> bool:
    """Return whether the URL uses https, or http on this machine."""
    parts = _split(url)
    return parts is not None and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
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
        and "?" not in url
        and "#" not in url
    )


class SmtpServer(NamedTuple):
    """The parts of an SMTP server's URL."""

    tls: bool
    """Whether TLS begins with the connection."""
    host: str
    port: int | None
    username: str | None
    password: str | None


def read_smtp_url(url: str) -> SmtpServer:
    """Return the parts of `smtp://user:password@host:port` or `smtps://...`.

    Raises ValueError with a message that says what to correct. It quotes nothing: any part of the URL
    may be a piece of the password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("smtp", "smtps"):
        raise ValueError("must begin with smtp:// or smtps://, such as smtp://mail.example.com:587")
    login, at_sign, address = rest.removesuffix("/").rpartition("@")
    user, colon, password = login.partition(":")
    if UNENCODED_IN_LOGIN.search(login) or (not at_sign and not SERVER.fullmatch(address)):
        raise ValueError(
            "must be smtp://user:password@host:port, with each of # ? / @ : % in the user and the "
            "password percent-encoded (%23 %3F %2F %40 %3A %25)"
        )
    server = SERVER.fullmatch(address)
    if server is None or (server["port"] and not _is_port(server["port"])):
        raise ValueError("must end with a host and a port, such as mail.example.com:587")
    if at_sign and not (user and colon and password):
        raise ValueError("must have both a user and a password before the @, or neither")
    return SmtpServer(
        tls=scheme == "smtps",
        host=server["six"] or server["name"],
        port=int(server["port"]) if server["port"] else None,
        username=unquote(user) or None,
        password=unquote(password) or None,
    )


def is_mailbox(text: str) -> bool:
    """Return whether the text is an ASCII address, or a name with one in angle brackets."""
    name, address = parseaddr(text)
    return bool(MAIL_ADDRESS.fullmatch(address)) and text in (address, f"{name} <{address}>")


def is_target(endpoint: str) -> bool:
    """Return whether gRPC can connect to the text: host:port, a socket, or a form of its own."""
    if not VISIBLE_ASCII.fullmatch(endpoint) or endpoint.startswith(("http:", "https:")):
        return False
    if re.fullmatch(r"[A-Za-z0-9._-]+|[^:]*:[0-9]+/.*|:[0-9]*", endpoint):
        return False
    if endpoint.startswith("unix"):  # a path may end like a port
        return True
    return not endpoint.endswith(":") and all(
        _is_port(port) for port in re.findall(r":([0-9]+)(?=,|$)", endpoint)
    )


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL with a valid host and port, None for any other text."""
    if not VISIBLE_ASCII.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    return parts if port != 0 and (HOST.fullmatch(host) or _is_ip(host)) else None


def _is_port(digits: str) -> bool:
    return len(digits) <= len(str(HIGHEST_PORT)) and 0 < int(digits) <= HIGHEST_PORT


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host
