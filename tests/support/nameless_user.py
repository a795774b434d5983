"""A process whose user has no passwd entry, as OpenShift gives a random uid to each container."""

import os

import pytest

NAMELESS = 54_321
"""A uid without a passwd entry."""
VARIABLES = (
    "HOME",
    "USER",
    "LOGNAME",
    "LNAME",
    "USERNAME",
    "SUDO_USER",
    "PGUSER",
    "XDG_CACHE_HOME",
)


@pytest.fixture
def without_passwd_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has neither a name nor a home folder."""
    monkeypatch.setattr(os, "getuid", lambda: NAMELESS)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
