"""The parameters of libpq's URLs: those that take effect here, and those that are refused."""

import re
from difflib import get_close_matches

TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
CHOICES: dict[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": TLS_VERSIONS,
    "ssl_max_protocol_version": TLS_VERSIONS,
    "target_session_attrs": (
        "any",
        "read-write",
        "read-only",
        "primary",
        "standby",
        "prefer-standby",
    ),
}
"""Parameters with a fixed list of values."""

SUPPORTED = frozenset(
    {
        *CHOICES,
        "application_name",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gsslib",
        "host",
        "hostaddr",
        "krbsrvname",
        "options",
        "passfile",
        "password",
        "port",
        "service",
        "servicefile",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslpassword",
        "sslrootcert",
        "user",
    }
)
"""Parameters that take effect as libpq documents them."""

ONLY_DEFAULTS: dict[str, tuple[str, ...]] = {
    "channel_binding": ("disable", "prefer"),
    "client_encoding": ("utf8", "utf-8", "unicode", "auto"),
    "gssdelegation": ("0",),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "replication": ("false", "off", "no", "0"),
    "require_auth": (),
    "requirepeer": (),
    "sslcertmode": ("allow",),
    "sslcompression": ("0", "1"),
    "sslcrldir": (),
    "sslkeylogfile": (),
    "sslsni": ("1",),
    "keepalives": (),
    "keepalives_count": (),
    "keepalives_idle": (),
    "keepalives_interval": (),
    "max_protocol_version": (),
    "min_protocol_version": (),
    "tcp_user_timeout": (),
}
"""Parameters of libpq that this driver does not support. The listed values are accepted, because they ask
for what the driver does anyway."""

ALTERNATIVES = {
    "channel_binding": " sslmode=verify-full proves the server by its certificate.",
}
SECONDS = re.compile(r"-?[0-9]{1,6}")


def check_parameters(parameters: dict[str, str]) -> None:
    """Raise ValueError if a parameter is unknown, or its value would have no effect.

    SECURITY: the name of an unknown parameter may be a piece of a password with a `?`, so it is never
    quoted.
    """
    for name, value in parameters.items():
        if name in ONLY_DEFAULTS:
            if value.lower() not in ONLY_DEFAULTS[name]:
                raise ValueError(
                    f"asks for {name}, which this driver does not support. Remove it from the "
                    f"address.{ALTERNATIVES.get(name, '')}"
                )
        elif name not in SUPPORTED:
            raise ValueError(f"has a parameter that PostgreSQL does not document{_similar(name)}")
        elif name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"has a {name} that is not one of {', '.join(CHOICES[name])}")
        elif name == "connect_timeout" and not SECONDS.fullmatch(value):
            raise ValueError("has a connect_timeout that is not a whole number of seconds")


def effective(parameters: dict[str, str]) -> dict[str, str]:
    """Return the checked parameters without those that the driver does not support."""
    return {name: value for name, value in parameters.items() if name in SUPPORTED}


def _similar(name: str) -> str:
    similar = get_close_matches(name, SUPPORTED, n=1, cutoff=0.75)
    known = f", similar to {similar[0]}" if similar else ""
    return f"{known}. Correct its name; a ? in the password must be percent-encoded as %3F"
