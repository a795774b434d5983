"""Who runs a command, as the ledger and the events name them."""

import os
import pwd
from collections.abc import Mapping

from teamaccess.common.configuration.settings import OPERATOR_NAME, PREFIX

LONGEST = 64


def operator_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of the process's user, followed by `+` and the name in the environment, if any.

    SECURITY: anybody can set a variable, so a variable never replaces the user. `rosa+ines` means that
    rosa's process named ines. The name comes from TEAMACCESS_OPERATOR, for containers whose users have
    no names, or from `sudo`. `USER` and `LOGNAME` say nothing more and are ignored.
    """
    user = _login_name(os.getuid())
    named = environment.get(f"{PREFIX}OPERATOR") or environment.get("SUDO_USER") or ""
    named = _recordable(named)
    return f"{user}+{named}" if named and named != user else user


def _login_name(uid: int) -> str:
    """Return the name of a uid. A random uid of a container has none, and is named by its number."""
    try:
        return _recordable(pwd.getpwuid(uid).pw_name) or f"uid-{uid}"
    except KeyError:
        return f"uid-{uid}"


def _recordable(name: str) -> str:
    """Return the name without the characters that no operator's name has."""
    return "".join(OPERATOR_NAME.findall(name))[:LONGEST]
