"""Concurrent first sign-ins with one login."""

import asyncio
from datetime import timedelta

import pytest

from teamaccess.directory.users.logins import SignInAgain, find_login_user, first_sign_in
from teamaccess.directory.users.tokens import Login
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel
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
