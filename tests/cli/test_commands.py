"""The operator's commands, on a running stack."""

import json
import secrets
from pathlib import Path

import pytest
from sqlalchemy import select

from teamaccess.catalog import find_catalog_file
from teamaccess.directory.users.tokens import Audience, verify
from teamaccess.relationships import Delete, Relationship, Touch
from teamaccess.storage import Event, LedgerEntry, Reason
from tests.cli.conftest import Run
from tests.stories.roles import made
from tests.support.connections import Connection
from tests.support.objects import grant, registered, to
from tests.support.sides import agreed, holdings
from tests.support.world import Team, World


async def test_an_operator_makes_an_organization_and_its_administrator(
    run: Run, fintoc: World
) -> None:
    id = f"umbrella-{secrets.token_hex(4)}"
    made = await run("operator", "create-organization", id, "--name", "Umbrella", "--reason", "new")
    assert made.exit_code == 0, made.output

    granted = await run(
        "operator", "grant-administrator", id, f"Zoe@{id}.example", "--reason", "a call", "--json"
    )

    told = json.loads(granted.stdout)
    assert told["changes"] == [f"{id}:1"]
    assert await fintoc.check(id, told["user"], "users_invite", at=told["zed_token"])
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


async def test_a_grant_makes_a_suspended_member_administrator_and_active(
    run: Run, acme: Team
) -> None:
    bob = await acme.member("bob", roles=["support"])
    await acme.act("suspend", bob)
    await run("operator", "grant-administrator", acme.id, bob.email, "--reason", "recovery")
    assert await acme.can(bob, "users_change_roles")
    assert await acme.can(bob, "refunds_create")


async def test_a_reason_is_asked_for_and_told_when_it_is_empty(run: Run, acme: Team) -> None:
    missing = await run("operator", "grant-administrator", acme.id, "eve@acme.example")
    empty = await run("operator", "grant-administrator", acme.id, "e@acme.example", "--reason", " ")
    assert missing.exit_code == 2
    assert empty.exit_code == 2
    assert "reason must have 1 to 1000 characters" in empty.stderr


async def test_an_unknown_organization_is_told_as_such(run: Run) -> None:
    refused = await run(
        "operator", "grant-administrator", "no-such", "e@x.example", "--reason", "x"
    )
    assert refused.exit_code == 2
    assert refused.stderr == "There is no organization no-such.\n"


async def test_check_exits_with_the_answer(run: Run, acme: Team) -> None:
    bob = await acme.member("bob", roles=["support"])
    yes = await run("check", acme.id, bob.id, "refunds_create")
    no = await run("check", acme.id, bob.email, "webhooks_create", "--json")
    assert (yes.exit_code, yes.stdout) == (0, "yes\n")
    assert (no.exit_code, json.loads(no.stdout)) == (1, {"allowed": False})


async def test_check_asks_about_a_single_object(run: Run, acme: Team) -> None:
    bob = await acme.member("bob", roles=["support"])
    await registered(acme, "webhook:wh_1")
    await registered(acme, "transfer:t_1", creator=acme.administrator)
    await grant(acme, "webhook:wh_1", to(bob, "edit"))
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
async def test_a_question_that_makes_no_sense_is_not_a_no(
    run: Run, acme: Team, question: list[str], answer: str
) -> None:
    asked = [word.format(org=acme.id) for word in question]
    refused = await run("check", acme.id, acme.administrator.id, *asked)
    assert refused.exit_code == 2
    assert answer in refused.stderr


async def test_a_name_that_nobody_has_is_not_a_no(run: Run, acme: Team, fintoc: World) -> None:
    ana, elsewhere = acme.administrator, (await fintoc.create("other")).administrator
    for organization, user, told in (
        ("nope", ana.email, "There is no organization nope.\n"),
        ("not an id", ana.email, "There is no organization not an id.\n"),
        (acme.id, "usr_1", "There is no user usr_1.\n"),
        (acme.id, "nobody@acme.example", "There is no user nobody@acme.example.\n"),
    ):
        refused = await run("check", organization, user, "users_invite")
        assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", told)
    assert (await run("check", acme.id, elsewhere.id, "users_invite")).exit_code == 1


async def test_an_issued_token_is_its_users(run: Run, acme: Team, fintoc: World) -> None:
    ana = acme.administrator
    issued = await run("token", "issue", ana.email.upper())
    ana.token = issued.stdout.strip()
    assert (await ana.ask("GET", "/v1/me")).json()["id"] == ana.id
    async with fintoc.service.reads() as session:
        told = await session.scalar(
            select(Event.details)
            .where(Event.kind == "token_issued", Event.subject == f"user:{ana.id}")
            .limit(1)
        )
    assert told == {"hours": 12}


async def test_an_operators_token_is_an_operators(run: Run, fintoc: World) -> None:
    issued = await run("token", "issue", "--operator", "ines", "--hours", "1", "--json")
    claims = verify(fintoc.service.keys, json.loads(issued.stdout)["token"])
    assert (claims.audience, claims.subject) == (Audience.OPERATOR, "ines")


async def test_a_token_is_for_exactly_one(run: Run) -> None:
    assert "Name either a user" in (await run("token", "issue")).stderr
    assert "Name either a user" in (await run("token", "issue", "x", "--operator", "y")).stderr
    assert (
        "There is no user nobody@x.example"
        in (await run("token", "issue", "nobody@x.example")).stderr
    )


async def test_migrating_a_migrated_database_changes_nothing(run: Run) -> None:
    assert (await run("migrate")).stdout == "The database is at revision head.\n"


async def test_a_database_that_does_not_answer_is_told_in_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMACCESS_DATABASE_URL", "postgresql://teamaccess@127.0.0.1:1/nothing")
    refused = await run("token", "issue", "ana@acme.example")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("PostgreSQL does not answer")


async def test_applying_the_schema_again_changes_nothing(run: Run, fintoc: World) -> None:
    applied = await run("schema", "apply", "--json")
    assert json.loads(applied.stdout) == {"differences": []}


async def test_a_schema_that_lacks_a_role_is_noticed_and_can_be_applied(
    run: Run, fintoc: World
) -> None:
    whole = fintoc.service.catalog.schema()
    behind = whole.replace("relation product: ", "relation produce: ").replace(
        " product ", " produce "
    )
    engine = fintoc.service.engine
    assert await engine.schema_differences(whole) == []
    assert "relation_removed" in await engine.schema_differences(behind)


async def test_a_catalog_s_new_role_does_not_hide_an_organization_s_own(
    run: Run, acme: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever holds the own one would count as a holder of the other, and be judged by that."""
    id = f"own_{acme.id.partition('-')[2]}"
    await made(acme, id, "transfers_view")
    text = find_catalog_file("fintoc").read_text()
    new = f"  {id}:\n    name: New\n    description: New.\n    granted_by: dashboard\nresources:"
    catalog = tmp_path / "fintoc.yaml"
    catalog.write_text(text.replace("resources:", new, 1))
    monkeypatch.setenv("TEAMACCESS_CATALOG", str(catalog))
    engine, whole = acme.world.service.engine, acme.world.service.catalog.schema()

    refused = await run("schema", "apply")
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"Organizations already have custom roles with the ids {id}.")
    assert await engine.schema_differences(whole) == []


async def test_a_crash_does_not_exit_like_a_no(run: Run, acme: Team) -> None:
    odd = await run("check", acme.id, "ana maria", "users_invite")
    ana = acme.administrator.id
    stale = await run("check", acme.id, ana, "users_invite", "--at", "nonsense")
    assert (odd.exit_code, stale.exit_code) == (2, 2)
    assert odd.stdout + stale.stdout == ""


async def test_reconcile_finds_drift_and_mends_it(run: Run, acme: Team, fintoc: World) -> None:
    strange = f"organization:{acme.id}#support@user:stranger"
    agreeing = await run("reconcile", "--organization", acme.id)
    assert (agreeing.exit_code, "nothing else" in agreeing.stdout) == (0, True)
    await fintoc.service.engine.write([Touch(Relationship.parse(strange))])

    found = await run("reconcile", "--organization", acme.id)
    assert found.exit_code == 1
    assert f"  extra  {strange}\n" in found.stdout
    refused = await run("reconcile", "--organization", acme.id, "--apply", "--max-deletes", "0")
    assert refused.exit_code == 1
    assert "Mending the rest takes --max-deletes 1." in refused.stdout
    mended = await run("reconcile", "--organization", acme.id, "--apply", "--json")
    assert mended.exit_code == 0
    told = json.loads(mended.stdout)
    assert (told["differences"], told["mended"]) == (1, 1)
    assert told["organizations"][0]["differences"] == {"extra": [strange]}
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


async def test_reconcile_that_cannot_ask_is_no_drift(
    run: Run, acme: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMACCESS_SPICEDB_ENDPOINT", "127.0.0.1:1")
    for words in ([], ["--organization", acme.id]):
        assert (await run("reconcile", *words)).exit_code == 2


async def test_rebuilding_leaves_what_agrees(run: Run, acme: Team) -> None:
    rebuilt = await run("reconcile", "--rebuild", "--organization", acme.id, "--json")
    assert rebuilt.exit_code == 0
    nothing = {"organizations": [], "relationships": 0, "busy": [], "disagreeing": {}}
    assert json.loads(rebuilt.stdout) == nothing
    for words in (["--rebuild"], []):
        unknown = await run("reconcile", *words, "--organization", "no-such")
        assert (unknown.exit_code, "no-such" in unknown.stderr) == (2, True)
    both = await run("reconcile", "--rebuild", "--apply")
    assert (both.exit_code, "Choose either" in both.stderr) == (2, True)


async def test_an_organization_that_another_history_has_is_rebuilt(run: Run, acme: Team) -> None:
    await _forget_head(acme)
    found = await run("reconcile", "--organization", acme.id)
    assert (found.exit_code, "reconcile --rebuild" in found.stdout) == (1, True)
    rebuilt = await run("reconcile", "--rebuild", "--organization", acme.id)
    assert rebuilt.exit_code == 0
    assert rebuilt.stdout.startswith("1 organization rebuilt, ")
    assert (await run("reconcile", "--organization", acme.id)).exit_code == 0
    await agreed(acme)


async def test_rows_that_nobody_decided_are_told_and_not_rebuilt(
    run: Run, acme: Team, superuser: Connection
) -> None:
    ana = acme.administrator.id
    keys = f"('{acme.id}', '{ana}', 'support')"
    await _unseen(superuser, f"INSERT INTO role_assignments VALUES {keys}")
    await _forget_head(acme)

    rebuilt = await run("reconcile", "--rebuild", "--organization", acme.id)

    assert rebuilt.exit_code == 2
    assert f"\n{acme.id} is not rebuilt, " in rebuilt.stdout
    assert f"only the rows have organization:{acme.id}#support@user:{ana}" in rebuilt.stdout
    assert not await acme.can(acme.administrator, "users_access")

    found = f"DELETE FROM role_assignments WHERE (organization_id, user_id, role) = {keys}"
    await _unseen(superuser, found)
    assert (await run("reconcile", "--rebuild", "--organization", acme.id)).exit_code == 0
    await agreed(acme)


async def _unseen(superuser: Connection, statement: str) -> None:
    async with superuser.transaction():
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await superuser.execute(statement)


async def _forget_head(team: Team) -> None:
    heads = [each for each in await holdings(team) if each.relation == "head"]
    await team.world.service.engine.write([Delete(each) for each in heads])
