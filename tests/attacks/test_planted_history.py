"""Mallory has the application's database password, and plants entries and events that cannot be read.

Chains are immutable, so such an entry or event stays. Readers leave it out and show everything else.
"""

from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import quote

import pytest
from asyncpg import PostgresError

from teamaccess.ledger.errors import PositionRefused
from teamaccess.local.sandbox import LocalSandbox
from tests.attacks.test_stolen_database_password import EVENT
from tests.support.command_line import runs_on
from tests.support.database_connections import Connection, connected, run_transaction
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import another_process

LISTS = ("members", "teams", "roles", "invitations", "members?team=pay", "members?role=support")
EVENTS = {
    "a team without a name": ("team_created", "'team:zz'", "{}"),
    "a team whose name is a list": ("team_renamed", "'team:pay'", '{"name": ["Pay"]}'),
    "a removal of nobody": ("member_removed", "NULL", "{}"),
    "a suspension of a team": ("member_suspended", "'team:pay'", "{}"),
    "a mail without an end": ("invitation_resent", "'invitation:{invitation}'", "{}"),
    "an end without a zone": (
        "invitation_resent",
        "'invitation:{invitation}'",
        '{"expires_at": "2030-01-01T00:00:00"}',
    ),
    "an end that is not a time": (
        "member_invited",
        "'invitation:{invitation}'",
        '{"roles": [], "expires_at": "soon"}',
    ),
    "an end beyond the calendar": (
        "invitation_resent",
        "'invitation:{invitation}'",
        '{"expires_at": "0001-01-01T00:00:00+14:00"}',
    ),
    "an offer of a number": (
        "invitation_offer_changed",
        "'invitation:{invitation}'",
        '{"roles": 5, "deleted_role": "x"}',
    ),
    "a cancelled offer of a number": (
        "invitation_cancelled",
        "'invitation:inv_other'",
        '{"roles": 5}',
    ),
    "an acceptance of a number": (
        "invitation_accepted",
        "'invitation:{invitation}'",
        '{"roles": 5, "user": "eve", "invited_by": "eve"}',
    ),
}


async def lists_of_the_past(
    organization: Organization, lists: Iterable[str] = LISTS
) -> dict[str, object]:
    """What the administrator reads about now as a past time, list by list."""
    now = quote((await organization.deployment.service.now()).isoformat())
    answers = {}
    for each in lists:
        path = f"{organization.path}/{each}{'&' if '?' in each else '?'}at={now}"
        answer = await organization.administrator.ask("GET", path)
        assert answer.is_success, (each, answer.text)
        answers[each] = answer.json()["items"]
    return answers


@pytest.fixture
async def bob(acme: Organization) -> Person:
    """A member in a team, next to an open invitation."""
    bob = await acme.member("bob", roles=["support"])
    team = {"id": "pay", "name": "Pay"}
    (await acme.administrator.ask("POST", f"{acme.path}/teams", json=team)).raise_for_status()
    place = f"{acme.path}/teams/pay/members/{bob.id}"
    (await acme.administrator.ask("PUT", place)).raise_for_status()
    return bob


@pytest.mark.parametrize("case", EVENTS)
async def test_the_lists_of_the_past_leave_out_an_event_that_cannot_be_read(
    acme: Organization, bob: Person, application_connection: Connection, case: str
) -> None:
    invited = await acme.invite("carla", ["product"])
    before = await lists_of_the_past(acme)
    kind, subject, details = EVENTS[case]
    subject = subject.format(invitation=invited.json()["id"])
    planted = EVENT.format(acme.id, kind, "subject", details).replace("'subject'", subject)
    with suppress(PostgresError):  # PostgreSQL refuses some of them
        await run_transaction(application_connection, planted)
    assert await lists_of_the_past(acme) == before


UPDATES = {
    "an end that is not a time": "TOUCH organization:{}#support@user:eve[expiration:garbage]",
    "an end that no calendar has": (
        "TOUCH organization:{}#support@user:eve[expiration:2026-13-45T00:00:00Z]"
    ),
    "an id that SpiceDB refuses": "TOUCH organization:{}#support@user:e v e",
    "a set of users as a custom role": "TOUCH organization:{}#granted_refunds_create@user:eve#friend",
    "a set of users as a member": "TOUCH organization:{}#member@user:eve#friend",
}


@pytest.mark.parametrize("case", UPDATES)
async def test_an_unreadable_entry_that_was_skipped_stops_no_reader(
    isolated: Deployment, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    acme = await isolated.create_organization("acme")
    bob = await acme.member("bob", roles=["support"])
    before = await lists_of_the_past(acme, LISTS[:4])
    entry = (
        "INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)"
        f" VALUES ('{acme.id}', ARRAY['{UPDATES[case].format(acme.id)}'],"
        " 'user:mallory', 'api', 'forged', 'none')"
    )
    event = EVENT.format(acme.id, "roles_changed", "user:eve", '{"before": [], "after": []}')
    async with connected(isolated.settings.database_url) as mallory:
        await run_transaction(mallory, entry, event)
    with pytest.raises(PositionRefused):
        await isolated.service.applier.catch_up(acme.id)
    skipped = await runs_on(isolated, monkeypatch)("ledger", "skip", acme.id, "--reason", "forged")
    assert skipped.exit_code == 0, skipped.output

    assert await lists_of_the_past(acme, LISTS[:4]) == before
    now = quote((await isolated.service.now()).isoformat())
    async with another_process(isolated, sandbox_endpoint=sandbox.endpoint) as audited:
        for question in (
            "who-can?action=refunds_create",
            f"what-can?user={bob.id}",
            f"why?user={bob.id}&action=refunds_create",
            "matrix?basis=decided",
        ):
            for at in ("", f"&at={now}"):
                answer = await audited.http.get(
                    f"{acme.path}/audit/{question}{at}",
                    headers={"Authorization": f"Bearer {acme.administrator.token}"},
                )
                assert answer.is_success, (question, at, answer.text)
