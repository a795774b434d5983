"""Read a libpq URL of PostgreSQL, and spell it for SQLAlchemy and asyncpg.

https://www.postgresql.org/docs/current/libpq-connect.html documents the URLs and their parameters. A
parameter takes effect as documented, or the URL is refused. No message quotes a password, or a part of
the URL that could be a piece of one.
"""

import getpass
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

from teamaccess.common import urls
from teamaccess.common.postgres.parameters import check_parameters, effective
from teamaccess.common.postgres.service_file import read_service

FORM = (
    "must be postgresql://user:password@host:port/database, with each of # ? / @ : in the "
    "password percent-encoded"
)
URL = re.compile(
    r"(?:postgresql|postgres)(?:\+[a-z0-9]+)?://(?P<authority>[^/?#]*)(?:/(?P<database>[^?#@]*))?"
    r"(?:\?(?P<query>[^#]*))?"
)
WHITESPACE = re.compile(r"[\s\x00-\x1f\x7f]")
BROKEN_ENCODING = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
LOGIN = re.compile(r"(?P<user>[^:\[\]@]*)(?::(?P<password>[^\[\]@]*))?")
HOST = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]*|/[^,:]+))(?::(?P<port>[0-9]+))?"
)
PARAMETER = re.compile(r"(?P<name>[a-z_]+)=(?P<value>[^=]*)")
HIGHEST_PORT = 65535
STRICTER_THAN_REQUIRE = frozenset({"verify-ca", "verify-full"})

IN_SQLALCHEMY_URL = ("user", "password", "dbname", "host", "port", "connect_timeout")
"""Parameters that SQLAlchemy takes from its own URL. asyncpg reads all others from its `dsn`."""


class InvalidAddress(ValueError):
    """The URL is not a PostgreSQL URL, or it asks for something that this driver cannot do."""


def read_address(url: str) -> dict[str, str]:
    """Return the parameters of a libpq URL, decoded, including those of its `service`.

    `host` and `port` are lists with commas if there are several hosts. Raises InvalidAddress.

    SECURITY: a password that is not percent-encoded can move the host. In `ana:/secret@db.internal`, the
    parser that decides on TLS could find the host `ana`, and the one that connects `db.internal`.
    Such URLs are refused.
    """
    if WHITESPACE.search(url):
        raise InvalidAddress("contains a space or a line break. Percent-encode it, or remove it")
    parts = URL.fullmatch(url)
    if parts is None or BROKEN_ENCODING.search(url):
        raise InvalidAddress(FORM)
    authority, query = parts["authority"], parts["query"] or ""
    login, at_sign, hosts = authority.rpartition("@")
    # an "@" after the host may be the end of a password with a "?"
    if "@" in query and authority and not at_sign:
        raise InvalidAddress(FORM)
    credentials = LOGIN.fullmatch(login)
    if credentials is None:
        raise InvalidAddress(FORM)
    found = {
        "user": unquote(credentials["user"]),
        "password": unquote(credentials["password"] or ""),
        "dbname": unquote(parts["database"] or ""),
        **_hosts(hosts),
    }
    parameters = {**found, **_parameters(query)}  # libpq prefers the query, too
    return _checked_and_completed({name: value for name, value in parameters.items() if value})


def sqlalchemy_url(url: str) -> str:
    """Return a libpq URL in SQLAlchemy's spelling, for `connect.connect`. Raises InvalidAddress.

    SECURITY: without `sslmode`, connections to other hosts use `require`. libpq's own default would fall
    back to plain text. A stricter mode in `PGSSLMODE`, which the driver reads by itself, stays in force.
    """
    parameters = read_address(url)
    stricter = os.environ.get("PGSSLMODE") in STRICTER_THAN_REQUIRE
    query: dict[str, str] = {}
    dsn = {name: parameters[name] for name in parameters if name not in IN_SQLALCHEMY_URL}
    if not ("sslmode" in dsn or stricter or _is_local(parameters)):
        dsn = {"sslmode": "require", **dsn}
    if dsn.get("sslrootcert") == "system":
        dsn = {name: value for name, value in dsn.items() if name not in ("sslmode", "sslrootcert")}
        query["ssl"] = "system"
    # SQLAlchemy's authority holds one host; a socket folder or several hosts go into the query
    host, port = parameters.get("host", ""), parameters.get("port", "")
    in_authority = host and not host.startswith("/") and "," not in host
    if not in_authority:
        query |= {name: value for name, value in (("host", host), ("port", port)) if value}
    if "connect_timeout" in parameters:
        query["timeout"] = parameters["connect_timeout"]
    if dsn:
        query["dsn"] = f"postgresql://?{urlencode(dsn)}"
    return (
        "postgresql+asyncpg://"
        + _login(parameters)
        + (_host_and_port(host, port) if in_authority else "")
        + (f"/{quote(parameters['dbname'], safe='')}" if "dbname" in parameters else "/")
        + (f"?{urlencode(query)}" if query else "")
    )


def _hosts(text: str) -> dict[str, str]:
    """Return `host` and `port` from the part after the login."""
    if not text:
        return {}
    names, ports = [], []
    for each in text.split(","):
        host = HOST.fullmatch(unquote(each) if "%2F" in each.upper() else each)
        if host is None or ("," in text and not (host["six"] or host["name"])):
            raise InvalidAddress(FORM)
        names.append(host["six"] or host["name"])
        ports.append(host["port"] or "")
    return {"host": ",".join(names), "port": ",".join(ports) if any(ports) else ""}


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        parameter = PARAMETER.fullmatch(part)
        if parameter is None:
            raise InvalidAddress(FORM)
        name, value = parameter["name"], unquote(parameter["value"])
        if name == "ssl" and value == "true":  # libpq's spelling for addresses of JDBC
            name, value = "sslmode", "require"
        if name in found:
            check_parameters({name: value})  # never quotes a name that libpq does not have
            raise InvalidAddress(f"has the parameter {name} twice. Keep one of them")
        found[name] = value
    return found


def _checked_and_completed(parameters: dict[str, str]) -> dict[str, str]:
    """Return the parameters after all checks, completed by those of their service."""
    try:
        check_parameters(parameters)
        if service := parameters.pop("service", None):
            of_service = read_service(service, parameters.pop("servicefile", None))
            check_parameters(of_service)
            parameters = {**of_service, **parameters}
        parameters.pop("servicefile", None)
        parameters = effective(parameters)
        _check_files(parameters)
    except ValueError as wrong:
        raise InvalidAddress(str(wrong)) from None
    name = parameters.pop("fallback_application_name", None)
    if name:
        parameters.setdefault("application_name", name)
    address = parameters.pop("hostaddr", None)
    if address:
        if parameters.get("host", address) != address:
            raise InvalidAddress("has host and hostaddr. This driver needs one of them: keep host")
        parameters["host"] = address
    _check_ports(parameters)
    _check_user(parameters)
    return parameters


def _check_user(parameters: dict[str, str]) -> None:
    """Refuse an address without a user where the driver finds none, as in a container with any uid."""
    if "user" in parameters or os.environ.get("PGUSER"):
        return
    try:
        getpass.getuser()
    except (KeyError, OSError):
        raise InvalidAddress(
            "names no user, and the user of this process has no name. Add the user: "
            "postgresql://user@host/database"
        ) from None


def _check_ports(parameters: dict[str, str]) -> None:
    hosts, ports = parameters.get("host", "").split(","), parameters.get("port", "").split(",")
    if len(hosts) > 1:
        if not all(hosts):
            raise InvalidAddress("has several hosts, and one of them has no name. Name each host")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        parameters["port"] = ",".join(port or "5432" for port in ports)
    if len(ports) != len(hosts):
        raise InvalidAddress("needs one port, or as many ports as hosts")
    if not all(port == "" or (port.isdigit() and 0 < int(port) <= HIGHEST_PORT) for port in ports):
        raise InvalidAddress(f"has a port that is not a number from 1 to {HIGHEST_PORT}")


FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def _check_files(parameters: dict[str, str]) -> None:
    """Refuse files that cannot be read, before the first connection tries to."""
    for name in FILES:
        path = parameters.get(name)
        if path and (name, path) != ("sslrootcert", "system"):
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                raise InvalidAddress(
                    f"names {path!r} as its {name}, and that file can't be read ({error.strerror})"
                ) from None
    mode, authority = parameters.get("sslmode"), parameters.get("sslrootcert")
    if authority == "system":
        if mode not in (None, "verify-full"):
            raise InvalidAddress("needs sslmode=verify-full for sslrootcert=system")
        if parameters.get("sslcert"):
            raise InvalidAddress(
                "can't have a sslcert with sslrootcert=system. Name a file instead"
            )
    elif mode in STRICTER_THAN_REQUIRE and not (
        authority or os.environ.get("PGSSLROOTCERT") or _has_own_authority()
    ):
        raise InvalidAddress(
            f"has sslmode={mode} and no authority. Add sslrootcert=<file>, or sslrootcert=system for "
            "a certificate of a public authority"
        )


def _has_own_authority() -> bool:
    try:
        return (Path.home() / ".postgresql" / "root.crt").exists()
    except RuntimeError:  # a user without a home
        return False


def _is_local(parameters: dict[str, str]) -> bool:
    # the driver reads the host from the environment if the URL has none
    hosts = (parameters.get("host") or os.environ.get("PGHOST", "")).split(",")
    return all(not host or host.startswith("/") or urls.is_loopback(host) for host in hosts)


def _login(parameters: dict[str, str]) -> str:
    user, password = parameters.get("user"), parameters.get("password")
    if user is None and password is None:
        return ""
    secret = f":{quote(password, safe='')}" if password is not None else ""
    return f"{quote(user or '', safe='')}{secret}@"


def _host_and_port(host: str, port: str) -> str:
    return (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
