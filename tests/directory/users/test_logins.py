"""Concurrent first sign-ins with one login."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Update, update
from sqlalchemy.exc import IntegrityError

from teamaccess.changes import Change
from teamaccess.common.postgres.connect import violated_constraint
from teamaccess.directory.users import logins
from teamaccess.directory.users.logins import (
    SignInAgain,
    find_login_user,
    first_sign_in,
    later_sign_in,
)
from teamaccess.directory.users.profiles import AddressHasAnotherLogin, waiting_shortly
from teamaccess.directory.users.tokens import Login
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, User
from tests.support.organization import Organization

HOUR = timedelta(hours=1)
WHO = Attribution("anonymous", Channel.API, "tests")


async def test_concurrent_sign_ins_with_and_without_an_address_must_be_repeated(
    acme: Organization,
) -> None:
    """One token of a login may vouch for the address and another one not."""
    eve = (await acme.add_members({"eve": ["support"]}))["eve"]
    now = await acme.deployment.service.now()
    without_address = Login("https://login.example", f"sub-{acme.id}", now, now + HOUR, None, None)
    with_address = Login(
        without_address.issuer, without_address.subject, now, now + HOUR, eve.email, None
    )
    ledger = acme.deployment.service.ledger

    async def sign_in_with_address() -> None:
        async with ledger.change(WHO) as change:
            await first_sign_in(change, with_address)
            await ledger.commit(change)

    async with ledger.change(WHO) as change:
        made = await first_sign_in(change, without_address)
        waiting = asyncio.create_task(sign_in_with_address())
        await asyncio.sleep(0.5)
        await ledger.commit(change)
    with pytest.raises(SignInAgain):
        await waiting
    async with acme.deployment.service.reads() as session:
        found = await find_login_user(session, with_address)
    assert found is not None
    assert found.id == made.id != eve.id


async def test_of_two_operators_who_link_one_login_at_once_the_second_tries_again(
    acme: Organization,
) -> None:
    people = await acme.add_members({"eve": ["support"], "bob": ["support"]})
    ledger, subject = acme.deployment.service.ledger, f"sub-{acme.id}"

    async def link(change: Change, name: str) -> None:
        await logins.link_login(
            change, people[name].id, "https://login.example", subject, "a new login"
        )

    async def slower() -> None:
        async with ledger.change(WHO) as change:
            await link(change, "bob")

    async with ledger.change(WHO) as change:
        await link(change, "eve")
        waiting = asyncio.create_task(slower())
        await asyncio.sleep(0.5)
        await ledger.commit(change)
    with pytest.raises(SignInAgain):
        await waiting


async def test_only_a_taken_address_is_reported_as_taken(acme: Organization) -> None:
    people = await acme.add_members({"eve": [], "bob": []})
    eve, bob = people["eve"], people["bob"]
    await acme.set_external_id(bob, f"crm-{acme.id}")
    now = await acme.deployment.service.now()
    login = Login("https://login.example", f"sub-{acme.id}", now, now + HOUR, bob.email, None)
    taken = {"issuer": login.issuer} | dict.fromkeys(("subject", "external_id"), f"crm-{acme.id}")
    for values, expected, constraint in (
        ({"email": bob.email}, AddressHasAnotherLogin, None),
        (taken, IntegrityError, "users_external_id_key"),
        ({"issuer": "https://login.example"}, IntegrityError, "users_login_check"),
    ):
        statement = update(User).where(User.id == eve.id).values(values)
        with pytest.raises(expected) as raised:
            await _within(acme, login, statement)
        if constraint is not None:
            assert violated_constraint(raised.value) == constraint


async def test_a_sign_in_that_loses_a_race_is_to_be_repeated_and_other_errors_are_raised(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request takes the login or the external id between two queries of this one."""
    people = await acme.add_members({"eve": [], "bob": []})
    eve, bob = people["eve"], people["bob"]
    await acme.set_external_id(bob, f"crm-{acme.id}")
    now = await acme.deployment.service.now()
    login = Login("https://login.example", f"sub-{acme.id}", now, now + HOUR, None, None)
    taken = {"issuer": login.issuer} | dict.fromkeys(("subject", "external_id"), f"crm-{acme.id}")
    for values, expected in (
        (taken, SignInAgain),
        ({"issuer": "https://login.example"}, IntegrityError),
    ):

        async def racing(change: Change, *_: object, values: Any = values) -> None:
            await change.session.execute(update(User).where(User.id == eve.id).values(values))

        monkeypatch.setattr(logins, "_link", racing)
        monkeypatch.setattr(logins, "take_over", racing)
        for sign_in in (first_sign_in, partial(later_sign_in, id=eve.id)):
            with pytest.raises(expected):
                async with acme.deployment.service.ledger.change(WHO) as change:
                    await sign_in(change, login=login)


async def _within(organization: Organization, login: Login, statement: Update) -> None:
    """Execute a statement where only short waits are allowed."""
    ledger = organization.deployment.service.ledger
    async with ledger.change(WHO) as change, waiting_shortly(change, login):
        await change.session.execute(statement)
