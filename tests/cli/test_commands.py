"""The operator's commands, on a running stack."""

import json
import secrets
from pathlib import Path

import pytest
from sqlalchemy import select

from teamaccess.catalog import find_catalog_file
from teamaccess.directory.users.tokens import Audience, verify_access_token
from teamaccess.relationships import Delete, Relationship, Touch
from teamaccess.storage import Event, LedgerEntry, Reason
from tests.stories.custom_roles import create_role
from tests.support.agreement import assert_agreement, spicedb_contents
from tests.support.command_line import Run
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.resources import add_resources, grant_to, set_grants


async def test_an_operator_creates_an_organization_and_its_administrator(
    run: Run, fintoc: Deployment
) -> None:
    id = f"umbrella-{secrets.token_hex(4)}"
    made = await run("operator", "create-organization", id, "--name", "Umbrella", "--reason", "new")
    assert made.exit_code == 0, made.output

    granted = await run(
        "operator", "grant-administrator", id, f"Zoe@{id}.example", "--reason", "a call", "--json"
    )

    reported = json.loads(granted.stdout)
    assert reported["changes"] == [f"{id}:1"]
    assert await fintoc.check(id, reported["user"], "users_invite", at=reported["zed_token"])
    async with fintoc.service.reads() as session:
        entry = (
            await session.scalars(select(LedgerEntry).where(LedgerEntry.organization_id == id))
        ).one()
        reason = await session.get_one(Reason, entry.reason_hash)
        events = (
            await session.scalars(
                select(Event.kind).where(Event.chain == id).order_by(Event.position)
            )
        ).all()
    assert entry.channel == "operator"
    assert entry.actor.startswith("operator:")
    assert reason.text == "a call"
    assert events == ["organization_created", "administrator_granted"]


async def test_granting_administrator_to_a_suspended_member_reactivates_them(
    run: Run, acme: Organization
) -> None:
    bob = await acme.member("bob", roles=["support"])
    await acme.suspend(bob)
    await run("operator", "grant-administrator", acme.id, bob.email, "--reason", "recovery")
    assert await acme.can(bob, "users_change_roles")
    assert await acme.can(bob, "refunds_create")


async def test_a_reason_is_required_and_must_not_be_empty(run: Run, acme: Organization) -> None:
    missing = await run("operator", "grant-administrator", acme.id, "eve@acme.example")
    empty = await run("operator", "grant-administrator", acme.id, "e@acme.example", "--reason", " ")
    assert missing.exit_code == 2
    assert empty.exit_code == 2
    assert "reason must have 1 to 1000 characters" in empty.stderr


async def test_an_unknown_organization_is_reported(run: Run) -> None:
    refused = await run(
        "operator", "grant-administrator", "no-such", "e@x.example", "--reason", "x"
    )
    assert refused.exit_code == 2
    assert refused.stderr == "There is no organization no-such.\n"


async def test_check_exits_with_the_answer(run: Run, acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    yes = await run("check", acme.id, bob.id, "refunds_create")
    no = await run("check", acme.id, bob.email, "webhooks_create", "--json")
    assert (yes.exit_code, yes.stdout) == (0, "yes\n")
    assert (no.exit_code, json.loads(no.stdout)) == (1, {"allowed": False})


async def test_check_asks_about_a_single_resource(run: Run, acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    await add_resources(acme, "webhook:wh_1")
    await add_resources(acme, "transfer:t_1", creator=acme.administrator)
    await set_grants(acme, "webhook:wh_1", grant_to(bob, "edit"))
    for user, action, resource, allowed in (
        (bob.id, "edit", "webhook:wh_1", True),
        (bob.email, "edit", f"webhook:{acme.id}/wh_1", True),
        (bob.id, "delete", "webhook:wh_1", False),
        (bob.id, "edit", "webhook:wh_2", False),
        (acme.administrator.id, "view", "transfer:t_1", True),
        (acme.administrator.id, "authorize", "transfer:t_1", False),
    ):
        answer = await run("check", acme.id, user, action, resource, "--json")
        assert json.loads(answer.stdout) == {"allowed": allowed}, answer.output


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (["nothing_at_all"], "There is no action 'nothing_at_all'"),
        (["transfers_authorize"], "it is decided per resource"),
        (["edit", "webhook:elsewhere/wh_1"], "does not name a resource of"),
        (["edit", "no resource"], "does not name a resource of"),
        (["edit", "payout:{org}/p1"], "There is no resource type 'payout'. The types are: webhook"),
        (["users_invite", "--at", "garbage"], "'garbage' is not a ZedToken"),
        (["dance", "webhook:{org}/wh_1"], "There is no action 'dance'"),
        (["webhooks_edit", "webhook:wh_1"], "There is no action 'webhooks_edit'"),
    ],
)
async def test_a_senseless_question_is_an_error_and_not_a_no(
    run: Run, acme: Organization, question: list[str], answer: str
) -> None:
    asked = [word.format(org=acme.id) for word in question]
    refused = await run("check", acme.id, acme.administrator.id, *asked)
    assert refused.exit_code == 2
    assert answer in refused.stderr


async def test_an_unknown_user_is_an_error_and_not_a_no(
    run: Run, acme: Organization, fintoc: Deployment
) -> None:
    ana, elsewhere = acme.administrator, (await fintoc.create_organization("other")).administrator
    for organization, user, reported in (
        ("nope", ana.email, "There is no organization nope.\n"),
        ("not an id", ana.email, "There is no organization not an id.\n"),
        (acme.id, "usr_1", "There is no user usr_1.\n"),
        (acme.id, "nobody@acme.example", "There is no user nobody@acme.example.\n"),
    ):
        refused = await run("check", organization, user, "users_invite")
        assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", reported)
    assert (await run("check", acme.id, elsewhere.id, "users_invite")).exit_code == 1


async def test_an_issued_token_belongs_to_its_user(
    run: Run, acme: Organization, fintoc: Deployment
) -> None:
    ana = acme.administrator
    issued = await run("token", "issue", ana.email.upper())
    ana.token = issued.stdout.strip()
    assert (await ana.ask("GET", "/v1/me")).json()["id"] == ana.id
    async with fintoc.service.reads() as session:
        reported = await session.scalar(
            select(Event.details)
            .where(Event.kind == "token_issued", Event.subject == f"user:{ana.id}")
            .limit(1)
        )
    assert reported == {"hours": 12}


async def test_an_operators_token_has_the_operators_audience(run: Run, fintoc: Deployment) -> None:
    issued = await run("token", "issue", "--operator", "ines", "--hours", "1", "--json")
    claims = verify_access_token(fintoc.service.keys, json.loads(issued.stdout)["token"])
    assert (claims.audience, claims.subject) == (Audience.OPERATOR, "ines")


async def test_a_token_is_for_exactly_one_subject(run: Run) -> None:
    assert "Name either a user" in (await run("token", "issue")).stderr
    assert "Name either a user" in (await run("token", "issue", "x", "--operator", "y")).stderr
    assert (
        "There is no user nobody@x.example"
        in (await run("token", "issue", "nobody@x.example")).stderr
    )


async def test_migrating_twice_changes_nothing(run: Run) -> None:
    assert (await run("migrate")).stdout == "The database is at revision head.\n"


async def test_an_unavailable_database_is_reported_in_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMACCESS_DATABASE_URL", "postgresql://teamaccess@127.0.0.1:1/nothing")
    refused = await run("token", "issue", "ana@acme.example")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("PostgreSQL does not answer")


async def test_applying_the_schema_again_changes_nothing(run: Run, fintoc: Deployment) -> None:
    applied = await run("schema", "apply", "--json")
    assert json.loads(applied.stdout) == {"differences": []}


async def test_a_schema_that_lacks_a_role_is_detected_and_can_be_applied(
    run: Run, fintoc: Deployment
) -> None:
    whole = fintoc.service.catalog.schema()
    behind = whole.replace("relation product: ", "relation produce: ").replace(
        " product ", " produce "
    )
    engine = fintoc.service.engine
    assert await engine.schema_differences(whole) == []
    assert "relation_removed" in await engine.schema_differences(behind)


async def test_a_new_role_of_the_catalog_does_not_hide_a_custom_role(
    run: Run, acme: Organization, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Holders of the custom role would otherwise count as holders of the catalog's role."""
    id = f"own_{acme.id.partition('-')[2]}"
    await create_role(acme, id, "transfers_view")
    text = find_catalog_file("fintoc").read_text()
    new = f"  {id}:\n    name: New\n    description: New.\n    granted_by: dashboard\nresources:"
    catalog = tmp_path / "fintoc.yaml"
    catalog.write_text(text.replace("resources:", new, 1))
    monkeypatch.setenv("TEAMACCESS_CATALOG", str(catalog))
    engine, whole = acme.deployment.service.engine, acme.deployment.service.catalog.schema()

    refused = await run("schema", "apply")
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"Organizations already have custom roles with the ids {id}.")
    assert await engine.schema_differences(whole) == []


async def test_a_crash_has_another_exit_status_than_a_no(run: Run, acme: Organization) -> None:
    odd = await run("check", acme.id, "ana maria", "users_invite")
    ana = acme.administrator.id
    stale = await run("check", acme.id, ana, "users_invite", "--at", "nonsense")
    assert (odd.exit_code, stale.exit_code) == (2, 2)
    assert odd.stdout + stale.stdout == ""


async def test_reconcile_finds_drift_and_repairs_it(
    run: Run, acme: Organization, fintoc: Deployment
) -> None:
    strange = f"organization:{acme.id}#support@user:stranger"
    agreeing = await run("reconcile", "--organization", acme.id)
    assert (agreeing.exit_code, "exactly the relationships" in agreeing.stdout) == (0, True)
    await fintoc.service.engine.write([Touch(Relationship.parse(strange))])

    found = await run("reconcile", "--organization", acme.id)
    assert found.exit_code == 1
    assert f"  extra  {strange}\n" in found.stdout
    refused = await run("reconcile", "--organization", acme.id, "--apply", "--max-deletes", "0")
    assert refused.exit_code == 1
    assert "To repair the rest, use --max-deletes 1." in refused.stdout
    mended = await run("reconcile", "--organization", acme.id, "--apply", "--json")
    assert mended.exit_code == 0
    reported = json.loads(mended.stdout)
    assert (reported["differences"], reported["mended"]) == (1, 1)
    assert reported["organizations"][0]["differences"] == {"extra": [strange]}
    async with fintoc.service.reads() as session:
        last = (
            select(LedgerEntry)
            .where(LedgerEntry.organization_id == acme.id)
            .order_by(LedgerEntry.position.desc())
            .limit(1)
        )
        entry = (await session.scalars(last)).one()
    assert entry.updates == [f"PURGE {strange}"]
    assert (entry.channel, entry.actor.startswith("operator:")) == ("operator", True)


async def test_reconcile_without_spicedb_reports_no_drift(
    run: Run, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMACCESS_SPICEDB_ENDPOINT", "127.0.0.1:1")
    for words in ([], ["--organization", acme.id]):
        assert (await run("reconcile", *words)).exit_code == 2


async def test_rebuild_leaves_organizations_that_agree_alone(run: Run, acme: Organization) -> None:
    rebuilt = await run("reconcile", "--rebuild", "--organization", acme.id, "--json")
    assert rebuilt.exit_code == 0
    nothing = {"organizations": [], "relationships": 0, "busy": [], "disagreeing": {}}
    assert json.loads(rebuilt.stdout) == nothing
    for words in (["--rebuild"], []):
        unknown = await run("reconcile", *words, "--organization", "no-such")
        assert (unknown.exit_code, "no-such" in unknown.stderr) == (2, True)
    both = await run("reconcile", "--rebuild", "--apply")
    assert (both.exit_code, "Choose either" in both.stderr) == (2, True)


async def test_an_organization_with_another_history_in_spicedb_is_rebuilt(
    run: Run, acme: Organization
) -> None:
    await _forget_head(acme)
    found = await run("reconcile", "--organization", acme.id)
    assert (found.exit_code, "reconcile --rebuild" in found.stdout) == (1, True)
    rebuilt = await run("reconcile", "--rebuild", "--organization", acme.id)
    assert rebuilt.exit_code == 0
    assert rebuilt.stdout.startswith("1 organization rebuilt, ")
    assert (await run("reconcile", "--organization", acme.id)).exit_code == 0
    await assert_agreement(acme)


async def test_rows_that_differ_from_the_ledger_are_reported_and_not_rebuilt(
    run: Run, acme: Organization, superuser_connection: Connection
) -> None:
    ana = acme.administrator.id
    keys = f"('{acme.id}', '{ana}', 'support')"
    await _unseen(superuser_connection, f"INSERT INTO role_assignments VALUES {keys}")
    await _forget_head(acme)

    rebuilt = await run("reconcile", "--rebuild", "--organization", acme.id)

    assert rebuilt.exit_code == 2
    assert f"\n{acme.id} is not rebuilt, " in rebuilt.stdout
    assert f"only the rows have organization:{acme.id}#support@user:{ana}" in rebuilt.stdout
    assert not await acme.can(acme.administrator, "users_access")

    found = f"DELETE FROM role_assignments WHERE (organization_id, user_id, role) = {keys}"
    await _unseen(superuser_connection, found)
    assert (await run("reconcile", "--rebuild", "--organization", acme.id)).exit_code == 0
    await assert_agreement(acme)


async def _unseen(superuser_connection: Connection, statement: str) -> None:
    async with superuser_connection.transaction():
        await superuser_connection.execute("SET LOCAL session_replication_role = replica")
        await superuser_connection.execute(statement)


async def _forget_head(organization: Organization) -> None:
    heads = [each for each in await spicedb_contents(organization) if each.relation == "head"]
    await organization.deployment.service.engine.write([Delete(each) for each in heads])
