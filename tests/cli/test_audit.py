"""`teamaccess audit`: the auditor's questions from the command line."""

import csv
import io
import json

from teamaccess.storage import User
from teamaccess.views.tables import BYTE_ORDER_MARK
from tests.support.command_line import Run
from tests.support.organization import Organization
from tests.support.resources import add_resources


async def test_who_can_prints_a_table_json_and_csv(run: Run, acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    async with acme.deployment.operator(acme.id) as change:
        (await change.session.get_one(User, bob.id)).name = "[/bold] Bob"
    asked = ("audit", "who-can", acme.id, "refunds_create")

    table = (await run(*asked)).stdout
    assert "unexplained: 0" in " ".join(table.split())
    reported = json.loads((await run(*asked, "--json")).stdout)
    assert {each["user"] for each in reported["items"]} == {bob.id, acme.administrator.id}
    done = await run(*asked, "--csv")
    rows = {
        row["user"]: row
        for row in csv.DictReader(io.StringIO(done.stdout.removeprefix(BYTE_ORDER_MARK)))
    }
    assert rows[bob.id]["name"] == "[/bold] Bob"
    assert "position" in done.stderr


async def test_what_can_and_matrix_print_the_permissions(run: Run, acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    reported = json.loads((await run("audit", "what-can", acme.id, bob.email, "--json")).stdout)
    actions = {each["action"] for each in reported["items"]}
    assert "refunds_create" in actions
    matrix = json.loads((await run("audit", "matrix", acme.id, "--json")).stdout)
    [row] = [each for each in matrix["items"] if each["user"] == bob.id]
    assert set(row["actions"]) == actions


async def test_why_has_the_exit_status_of_check_and_names_what_was_lost(
    run: Run, acme: Organization
) -> None:
    bob = await acme.member("bob", ["support"])
    yes = await run("audit", "why", acme.id, bob.id, "refunds_create")
    assert yes.stdout.splitlines()[0] == "yes"
    assert "role support since" in yes.stdout
    assert f"by {bob.email} invited by {acme.administrator.email} (api)" in yes.stdout
    await acme.change_roles(bob, "product")
    no = await run("audit", "why", acme.id, bob.id, "refunds_create")
    assert (yes.exit_code, no.exit_code) == (0, 1)
    assert no.stdout.splitlines()[0] == "no"
    assert f"organization:{acme.id}#support@user:{bob.id}" in no.stdout


async def test_an_invitee_is_distinguished_from_an_unknown_user(
    run: Run, acme: Organization
) -> None:
    invited = (await acme.invite("eve", ["support"])).json()
    explanation = (
        f"were invited to {acme.id} by {acme.administrator.email} ({invited['id']}, open until"
    )
    questions = [
        ("audit", "why", acme.id, acme.address("eve").upper(), "refunds_create"),
        ("audit", "what-can", acme.id, acme.address("eve")),
        ("check", acme.id, acme.address("eve"), "refunds_create"),
    ]
    for question in questions:
        asked = await run(*question)
        assert asked.exit_code == 2
        assert explanation in " ".join(asked.stderr.split())
    await acme.set_invitation_expiry(invited["id"], await acme.deployment.service.now())
    for question in questions:
        asked = await run(*question)
        assert asked.exit_code == 2
        assert "There is no user" in asked.stderr


async def test_why_not_names_the_remedies_and_who_may_apply_them(
    run: Run, acme: Organization
) -> None:
    bob = (await acme.add_members({"bob": ["product"]}))["bob"]
    reported = (await run("audit", "why", acme.id, bob.id, "refunds_create")).stdout
    assert (
        f"  To allow it: give {bob.email} the role support (also allows refunds_cancel). "
        f"{acme.administrator.email} may do that."
    ) in reported.splitlines()
    reported = (await run("audit", "why", acme.id, bob.id, "users_invite")).stdout
    command = f"teamaccess operator grant-administrator {acme.id} {bob.email} --reason TEXT"
    assert f" more). An operator may do that: `{command}`." in reported
    await add_resources(acme, "transfer:t1", creator=bob)
    asked = ("audit", "why", acme.id, bob.id, "authorize", "transfer:t1")
    reported = (await run(*asked)).stdout
    assert "No change helps" in reported
    assert f"  These people can do it: {acme.administrator.email}." in reported
