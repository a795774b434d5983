"""Events name the operator of a command as the operating system does."""

import getpass
import json
import os
import pwd

import pytest
from sqlalchemy import select

from teamaccess.cli.operator_name import operator_name
from teamaccess.storage import Event
from tests.support.command_line import Run
from tests.support.nameless_user import NAMELESS
from tests.support.organization import Organization

SELF = pwd.getpwuid(os.getuid()).pw_name


async def recorded_actor(run: Run, organization: Organization) -> str:
    """Have an operator create an organization, and return the actor of its event."""
    id = f"{organization.id}-{os.urandom(4).hex()}"
    done = await run("operator", "create-organization", id, "--name", "New", "--json")
    assert done.exit_code == 0, done.stderr
    async with organization.deployment.service.reads() as session:
        created = select(Event.actor).where(Event.chain == id, Event.kind == "organization_created")
        return str((await session.scalars(created)).one())


async def test_a_variable_does_not_replace_the_user(
    run: Run, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "rosa")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert await recorded_actor(run, acme) == f"operator:{SELF}"


async def test_a_user_without_a_name_is_recorded_by_its_number(
    run: Run, acme: Organization, without_passwd_entry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    assert await recorded_actor(run, acme) == f"operator:uid-{NAMELESS}"
    monkeypatch.setenv("TEAMACCESS_OPERATOR", "rosa@example.com")
    assert await recorded_actor(run, acme) == f"operator:uid-{NAMELESS}+rosa@example.com"


async def test_the_person_behind_sudo_is_recorded_beside_the_user(
    run: Run, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "rosa")
    assert await recorded_actor(run, acme) == f"operator:{SELF}+rosa"


async def test_an_operator_that_is_no_name_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rosa maria", "rosa\nroot", "+root", "x" * 65):
        monkeypatch.setenv("TEAMACCESS_OPERATOR", name)
        refused = await run("operator", "create-organization", "x", "--name", "X", "--json")
        assert refused.exit_code == 2
        problem = json.loads(refused.stderr)
        assert problem["code"] == "invalid_settings"
        assert "TEAMACCESS_OPERATOR" in problem["detail"]


def test_what_the_environment_names_cannot_look_like_the_user() -> None:
    assert operator_name({"SUDO_USER": "root+rosa\n"}) == f"{SELF}+rootrosa"[: len(SELF) + 9]
    assert operator_name({"SUDO_USER": "\n+ "}) == SELF
    assert operator_name({"SUDO_USER": SELF}) == SELF
    assert len(operator_name({"SUDO_USER": "x" * 1000})) == len(SELF) + 65
