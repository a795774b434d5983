"""Mallory has the application's database password. Her evidence explains too much, or is too large.

PostgreSQL refuses it. One row stops neither the workers, nor the watcher, nor `verify`.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from asyncpg import PostgresError

from teamaccess.delivery.provenance.writes import (
    ClaimedPosition,
    ClaimMatch,
    WriteClaim,
    match_claim,
)
from teamaccess.delivery.queue import claim_due
from teamaccess.delivery.writer import Write, are_in_force
from teamaccess.engine import FULLY_CONSISTENT, Engine
from teamaccess.ledger.chains import attestations
from teamaccess.ledger.chains.explanations import explains
from teamaccess.ledger.chains.parts import DescribingEvent
from teamaccess.ledger.entry import Entry
from teamaccess.relationships import Relationship, Touch, Update
from teamaccess.storage import MAX_UPDATES, OrganizationId
from tests.attacks.test_forged_rows import RUN
from tests.attacks.test_stolen_database_password import EVENT
from tests.attacks.test_unexplained_entries import ENTRY
from tests.support.agreement import ledger_entries
from tests.support.database_connections import Connection, run_transaction
from tests.support.intruder import Intruder
from tests.support.organization import Organization
from tests.support.people import Person

ANY_TIME = datetime(2027, 1, 1, tzinfo=UTC)


async def refused(connection: Connection, *statements: str) -> None:
    """PostgreSQL refuses the transaction because of a check, not because of a mistake in the SQL."""
    with pytest.raises(PostgresError) as refusal:
        await run_transaction(connection, *statements)
    assert refusal.value.sqlstate in ("23514", "23000", "42501"), refusal.value


ELSEWHERE = {
    "a grant": (
        "TOUCH webhook:{other}/w1#granted_edit@user:eve",
        "grants_changed",
        "webhook:{other}/w1",
        {"before": [], "after": ["edit user:eve"]},
    ),
    "a registration": (
        "TOUCH webhook:{other}/w1#organization@organization:{own}",
        "resource_registered",
        "webhook:{other}/w1",
        {"creator": "eve"},
    ),
    "a gate": ("DELETE organization:{other}#member@user:eve", "member_left", "user:eve", {}),
    "an invitation": (
        "DELETE invitation:{other}/i1#invitee@invitee:x",
        "member_removed",
        "user:eve",
        {},
    ),
    "everything": (
        "DELETE organization:{other}#member@user:eve",
        "organization_deleted",
        "organization:{own}",
        {},
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
async def test_an_entry_changes_its_own_organization_only(
    acme: Organization, globex: Organization, application_connection: Connection, case: str
) -> None:
    update, kind, subject, details = (
        each.format(own=acme.id, other=globex.id) if isinstance(each, str) else each
        for each in ELSEWHERE[case]
    )
    await refused(
        application_connection,
        ENTRY.format(acme.id, f"'{update}'"),
        EVENT.format(acme.id, kind, subject, json.dumps(details)),
    )


@pytest.mark.parametrize(
    "update",
    [
        "TOUCH  organization:{0}#support@user:eve",
        "TOUCH organization:{0}x#support@user:eve",
        "TOUCH organization:#support@user:eve",
        "TOUCH x organization:{0}#support@user:eve",
        "garbage",
    ],
)
async def test_an_entry_has_no_update_without_its_organization(
    acme: Organization, application_connection: Connection, update: str
) -> None:
    await refused(application_connection, ENTRY.format(acme.id, f"'{update.format(acme.id)}'"))


@pytest.mark.parametrize("case", ELSEWHERE)
def test_no_event_explains_an_older_entry_about_another_organization(case: str) -> None:
    update, kind, subject, details = ELSEWHERE[case]
    names = {"own": "acme", "other": "globex"}
    event = described(kind, str(subject).format(**names), details, ended=True)
    assert not explains([event], [str(update).format(**names)])


def described(
    kind: str, subject: str, details: Any, position: int = 7, ended: bool = False
) -> DescribingEvent:
    """An event of acme."""
    text = json.dumps(details)
    return DescribingEvent("acme", ended, "user:eve", kind, subject, text, position)


def entry_of(*updates: str) -> Entry:
    """The second entry of acme's ledger."""
    return Entry(
        organization=OrganizationId("acme"),
        position=2,
        hash=b"1" * 32,
        previous_hash=b"0" * 32,
        updates=tuple(Touch(Relationship.parse(each)) for each in updates),
        actor="user:eve",
        request_id="r",
    )


def arrived(entry: Entry, *more: Update) -> ClaimMatch:
    """Match a write that claims the entry, with its marker, its head and more updates."""
    write = Write((entry,))
    markers = [Touch(each) for each in write.markers(ANY_TIME)]
    claim = WriteClaim(changes=[ClaimedPosition("acme", 2)])
    updates = [*markers, *write.head_updates, *more]
    return match_claim(updates, claim, {(entry.organization, 2): entry}, {})


def test_an_entry_explains_a_write_about_its_own_organization_only() -> None:
    theirs = "organization:globex#support@user:eve"
    own = "organization:acme#support@user:eve"
    entry = entry_of(theirs, own)
    match = arrived(entry, *entry.updates)
    assert match.unexplained == [Touch(Relationship.parse(theirs))]


def test_an_entry_that_no_write_can_deliver_explains_nothing() -> None:
    """Otherwise the watcher would ask SpiceDB about each update that the write does not contain."""
    names = [f"organization:acme#support@user:u{number}" for number in range(MAX_UPDATES + 1)]
    largest, larger = (arrived(entry_of(*names[:size])) for size in (MAX_UPDATES, MAX_UPDATES + 1))
    assert largest.unexplained == []
    assert len(largest.missing[OrganizationId("acme")]) == MAX_UPDATES
    assert larger.missing == {}
    assert len(larger.unexplained) == 3  # the marker, and both updates of the head
    assert not explains(
        [described("members_imported", "organization:acme", {"members": 5000})],
        [f"TOUCH organization:acme#member@user:u{number}" for number in range(MAX_UPDATES + 1)],
    )


async def test_a_write_without_its_updates_is_known_after_one_question() -> None:
    asked = []

    class Empty:
        async def find(self, relationship: Relationship, at: object) -> None:
            asked.append(relationship)

    missing = entry_of(*(f"organization:acme#support@user:u{n}" for n in range(500))).updates
    now = datetime.now(UTC)
    assert not await are_in_force(cast(Engine, Empty()), missing, now, FULLY_CONSISTENT)
    assert len(asked) == 1


async def test_an_entry_has_at_most_as_many_updates_as_one_write(
    acme: Organization, application_connection: Connection
) -> None:
    for size in (MAX_UPDATES + 1, 30_000):
        updates = f"TOUCH organization:{acme.id}#support@user:u'||n"
        await refused(
            application_connection,
            ENTRY.replace(
                "ARRAY[{}]", f"ARRAY(SELECT '{updates} FROM generate_series(1,{size}) n)"
            ).format(acme.id),
        )


async def test_one_value_does_not_stop_the_deliveries_of_all_organizations(
    acme: Organization, application_connection: Connection
) -> None:
    await acme.member("bob", roles=["support"])
    here = f"organization_id = '{acme.id}'"
    for attempts in (2**31 - 1, -1):
        await refused(
            application_connection,
            f"UPDATE ledger_applications SET attempts = {attempts} WHERE {here}",
        )
    newest = (await ledger_entries(acme))[-1].position
    await application_connection.execute(
        "UPDATE ledger_applications SET attempts = 1000000, status = 'pending', due_at = now()"
        f" WHERE {here} AND position = {newest}"
    )
    async with acme.deployment.service.sessions() as session:
        connection = await session.connection()
        claimed = await claim_due(connection, 1000, timedelta(seconds=0))
        assert (acme.id, 1_000_000) in claimed
    await acme.deployment.service.applier.catch_up(OrganizationId(acme.id))


@pytest.mark.parametrize("status", ["pending", "refused"])
async def test_an_arrived_position_before_the_newest_one_stays_arrived(
    acme: Organization, application_connection: Connection, status: str
) -> None:
    await acme.member("bob", roles=["support"])
    await refused(
        application_connection,
        f"UPDATE ledger_applications SET status = '{status}', due_at = now()"
        f" WHERE organization_id = '{acme.id}' AND position = 1",
    )


@pytest.fixture
async def eve(acme: Organization) -> Person:
    """A suspended member whose membership ends in two days."""
    eve = await acme.member("eve", roles=["support"])
    end = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    path = f"{acme.path}/members/{eve.id}"
    answer = await acme.administrator.ask("PATCH", path, json={"expires_at": end})
    assert answer.is_success, answer.text
    assert (await acme.suspend(eve)).is_success
    return eve


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ("expires_at = NULL", None),
        ("expires_at = NULL", {}),
        ("expires_at = NULL", {"before": None, "after": "2030-01-01T00:00:00+00:00"}),
        ("expires_at = '2031-01-01T00:00:00Z'", {"after": "2030-01-01T00:00:00+00:00"}),
        ("expires_at = '2031-01-01T00:00:00Z'", {"after": None}),
    ],
)
async def test_the_end_of_a_suspended_membership_changes_only_with_its_event(
    acme: Organization,
    eve: Person,
    application_connection: Connection,
    change: str,
    details: dict[str, Any] | None,
) -> None:
    here = f"WHERE organization_id = '{acme.id}' AND user_id = '{eve.id}'"
    kind = "membership_end_changed"
    event = [EVENT.format(acme.id, kind, f"user:{eve.id}", json.dumps(details))]
    recorded = event if details is not None else []
    drain = "SELECT * FROM ledger_drain()"
    update = f"UPDATE memberships SET {change} {here}"
    await refused(application_connection, update, drain, *recorded)
    steps = [
        f"UPDATE memberships SET suspended_at = {at} {here}" for at in ("NULL", "clock_timestamp()")
    ]
    await refused(application_connection, steps[0], update, steps[1], drain, *recorded)


async def test_the_application_changes_the_end_of_a_suspended_membership(
    acme: Organization, eve: Person, intruder: Intruder
) -> None:
    path = f"{acme.path}/members/{eve.id}"
    for end in ((datetime.now(UTC) + timedelta(days=3)).isoformat(), None):
        answer = await acme.administrator.ask("PATCH", path, json={"expires_at": end})
        assert answer.is_success, answer.text
    assert (await acme.reactivate(eve)).is_success
    assert (await acme.events())[-1].details == {"expires_at": None}
    assert await intruder.all_findings(acme) == []


def test_a_reactivation_explains_the_end_that_it_names() -> None:
    gate = "TOUCH organization:acme#member@user:eve"
    march = described("member_reactivated", "user:eve", {"expires_at": "2027-03-01T00:00:00+00:00"})
    assert explains([march], [gate + "[expiration:2027-03-01T00:00:00Z]"])
    assert not explains([march], [gate])
    assert not explains([march], [gate + "[expiration:2027-03-02T00:00:00Z]"])


async def test_an_administrator_granted_by_an_event_gets_one_role(
    acme: Organization, application_connection: Connection, intruder: Intruder
) -> None:
    for roles, event, subject, found in (
        (["administrator"], "administrator_granted", "user:eve", False),
        (["administrator", "support"], "administrator_granted", "user:eve", True),
        (["administrator"], "organization_created", f"organization:{acme.id}", True),
    ):
        updates = (f"'TOUCH organization:{acme.id}#{role}@user:eve'" for role in roles)
        await run_transaction(
            application_connection,
            ENTRY.format(acme.id, ", ".join(updates)).replace("mallory", "eve"),
            EVENT.format(acme.id, event, subject, "{}").replace("mallory", "eve"),
        )
        position = (await ledger_entries(acme))[-1].position
        named = f"ledger {position} entry_unexplained" in await intruder.all_findings(acme)
        assert named is found, roles


@pytest.mark.parametrize(
    ("setting", "said", "end"),
    [
        ("SET LOCAL TimeZone = '<X>+12'", "2030-01-01T00:00:00", "2030-01-01T12:00:00Z"),
        ("SET LOCAL DateStyle = 'SQL, DMY'", "26-12-29T00:00:00Z", "2029-12-26T00:00:00Z"),
        ("SET LOCAL TimeZone = 'UTC'", "tomorrow", "tomorrow"),
    ],
)
async def test_a_token_ends_when_its_event_says(
    acme: Organization, application_connection: Connection, setting: str, said: str, end: str
) -> None:
    account = await acme.create_service_account("support")
    plant = (
        "INSERT INTO api_tokens (organization_id, id, user_id, name, hash, created_by, expires_at)"
        f" VALUES ('{acme.id}', 'planted', '{account.id}', 'x', sha256('{acme.id}'), 'user:mallory',"
        f" '{end}')"
    )
    details = json.dumps({"token": "planted", "expires_at": said})
    event = EVENT.format(acme.id, "token_created", f"user:{account.id}", details)
    await refused(application_connection, setting, plant, event)


@pytest.mark.parametrize("value", ["details", "subject"])
async def test_an_event_is_about_as_large_as_those_of_the_application(
    acme: Organization, application_connection: Connection, value: str
) -> None:
    long = "x" * 300_000
    subject, details = ("user:eve", {"x": long}) if value == "details" else (long, {})
    await refused(
        application_connection, EVENT.format(acme.id, "member_left", subject, json.dumps(details))
    )


@pytest.mark.parametrize(
    ("limits", "explained"),
    [({}, True), ({"READ_AT_ONCE": 1}, True), ({"READ_AT_ONCE": 1, "MOST_BYTES": 500}, False)],
)
async def test_events_of_a_large_transaction_are_read_with_its_entry(
    acme: Organization,
    application_connection: Connection,
    intruder: Intruder,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    explained: bool,
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(attestations, name, value)
    names = [f"user:eve{number}" for number in range(20)]
    updates = (f"'DELETE organization:{acme.id}#member@{name}'" for name in names)
    await run_transaction(
        application_connection,
        ENTRY.format(acme.id, ", ".join(updates)),
        *(EVENT.format(acme.id, "member_left", name, '{"roles": []}') for name in names),
    )
    position = (await ledger_entries(acme))[-1].position
    found = await intruder.all_findings(acme)
    assert (f"ledger {position} entry_unexplained" not in found) is explained


async def test_the_cursor_of_the_watch_is_not_saved_ahead_of_the_clock(
    acme: Organization, application_connection: Connection
) -> None:
    await refused(
        application_connection,
        "INSERT INTO watch_cursor (id, zed_token, saved_at) VALUES (1, 'z', '9999-01-01')"
        " ON CONFLICT (id) DO UPDATE SET saved_at = excluded.saved_at",
    )


async def test_no_transaction_that_stays_open_backdates_a_row(owner_connection: Connection) -> None:
    """`now()` is the time at which the transaction began."""
    triggers = await owner_connection.fetch(
        "SELECT tgname, pg_get_triggerdef(oid) AS definition FROM pg_trigger"
        " WHERE tgfoid = 'not_backdated'::regproc"
    )
    assert len(triggers) == 16
    assert all("clock_timestamp() - '00:15:00'" in each["definition"] for each in triggers)


async def test_a_run_is_judged_by_the_newest_position(
    acme: Organization, application_connection: Connection
) -> None:
    """An older snapshot would let a rebuild of an older state be recorded."""
    run = RUN.format("renewal", acme.id, 1, "NULL")
    await run_transaction(application_connection, run)
    for isolation in ("REPEATABLE READ", "SERIALIZABLE"):
        setting = f"SET TRANSACTION ISOLATION LEVEL {isolation}"
        await refused(application_connection, setting, run)
