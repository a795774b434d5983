"""`teamaccess import members`: everyone in a file, at once, and repeated."""

import json
from pathlib import Path

import pytest

from teamaccess.storage import CustomRole, RoleId
from tests.support.agreement import assert_agreement
from tests.support.command_line import Run
from tests.support.organization import Organization


def _file(folder: Path, *rows: str) -> str:
    file = folder / "members.csv"
    file.write_text("\n".join(["email,name,role", *rows]), encoding="utf-8")
    return str(file)


async def test_everyone_in_a_file_becomes_a_member_and_existing_members_stay(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    await acme.invite("bob", ["support"])
    bob = await acme.member("dan", roles=["support"])
    people = [f"p{number}@{acme.id}.example,Person {number},product" for number in range(1000)]
    file = _file(
        tmp_path, *people, f"{acme.address('dan')},Dan,product", f"{acme.address('bob')},,product"
    )

    done = await run("import", "members", file, "--organization", acme.id, "--json")
    report = json.loads(done.stdout)
    members, positions = report.pop("members"), report.pop("positions")
    assert report == {"organization": acme.id, "rows": 1002, "joined": 1001}
    assert (await acme.roles_by_member())[bob.id] == ["support"]
    assert len(await acme.roles_by_member()) == 1003
    assert (await acme.accept("bob")).status_code == 409
    held = await acme.roles_by_member()
    assert {each["user"] for each in members} == held.keys() - {acme.administrator.id}
    assert members[0]["email"] == f"p0@{acme.id}.example"
    assert [each["user"] for each in members if not each["joined"]] == [bob.id]
    entries = await acme.ledger()
    for each in (members[0], members[500]):
        assert any(f"@user:{each['user']}" in str(u) for u in entries[each["position"] - 1])
    assert positions == sorted({each["position"] for each in members})
    again = json.loads(
        (await run("import", "members", file, "--organization", acme.id, "--json")).stdout
    )
    assert (again["joined"], again["positions"]) == (0, [])
    assert [each["user"] for each in again["members"]] == [each["user"] for each in members]
    await assert_agreement(acme)


async def test_a_file_with_mistakes_changes_nothing_and_reports_them_all(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    file = _file(
        tmp_path,
        "ok@example.com,Ok,support",
        "nobody,No,support",
        "a@example.com,A,overlord",
        "ok@example.com,Ok,support",
        "eve@example.com,Eve,administrator",
        "short@example.com",
        "long@example.com,Long,support,more",
    )
    refused = await run("import", "members", file, "--organization", acme.id)
    assert refused.exit_code == 2
    first, *reported = refused.stderr.splitlines()
    assert first == f"Nothing was imported: {file} has 6 mistakes."
    assert [line.partition(":")[0] for line in reported] == [
        f"line {n}" for n in (3, 4, 5, 6, 7, 8)
    ]
    assert "Only operators of this service can give the role administrator" in reported[3]

    as_json = await run("import", "members", file, "--organization", acme.id, "--json")
    assert as_json.exit_code == 2
    problem = json.loads(as_json.stderr)
    assert (problem["code"], problem["mistakes"]) == ("invalid_file", reported)
    assert len(await acme.roles_by_member()) == 1


async def test_a_long_list_of_mistakes_is_shortened_only_on_a_terminal(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    file = _file(tmp_path, *["nobody,No,support"] * 30)
    refused = await run("import", "members", file, "--organization", acme.id)
    assert refused.stderr.splitlines()[-1] == "and 10 more"
    as_json = await run("import", "members", file, "--organization", acme.id, "--json")
    assert len(json.loads(as_json.stderr)["mistakes"]) == 30


async def test_columns_may_be_in_any_order(run: Run, acme: Organization, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text(f"role,email,name\nsupport,{acme.address('zoe')},Zoë\n", encoding="utf-8-sig")
    done = await run("import", "members", str(file), "--organization", acme.id)
    assert done.stdout == f"1 new member of {acme.id}; members already: 0.\n", done.output
    assert ["support"] in (await acme.roles_by_member()).values()


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (
            b"email,name\n",
            "line 1: the columns must be email, name, role, in any order. Found: 'email', 'name'.",
        ),
        (b"email,name,role,expires_at\n", "line 1: the columns must be"),
        (b"", "line 1: the columns must be"),
        (b"email,name,role\na@b.example,Zo\xeb,support\n", "line 2: this is not UTF-8"),
        (b'email,name,role\na@b.example,"Zo"e,support\n', "line 2: "),
    ],
)
async def test_an_unreadable_file_is_reported(
    run: Run, acme: Organization, tmp_path: Path, content: bytes, mistake: str
) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(content)
    refused = await run("import", "members", str(file), "--organization", acme.id)
    assert refused.exit_code == 2
    first, reported = refused.stderr.splitlines()
    assert first == f"Nothing was imported: {file} has 1 mistake."
    assert reported.startswith(mistake)


async def test_an_unknown_organization_is_reported_first(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, "nobody,No,support")
    refused = await run("import", "members", file, "--organization", "no-such")
    assert (refused.exit_code, refused.stderr) == (2, "There is no organization no-such.\n")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("email;name;role\n{email};Zoë;support\n", "utf-8"),
        ("email\tname\trole\n{email}\tZoë\tsupport\n", "utf-8"),
        ("email|name|role\n{email}|Zoë|support\n", "utf-8"),
        ("Email,Name,Role\n{email},Zoë,support\n", "utf-8-sig"),
        (" EMAIL ; Name ;role\r\n{email} ; Zoë ;support\r\n", "utf-8-sig"),
        ("sep=;\r\nemail;name;role\r\n{email};Zoë;support\r\n", "utf-8"),
        ("email\tname\trole\r\n{email}\tZoë\tsupport\r\n", "utf-16"),
        ("email,name,role,,\n{email},Zoë,support,,\n,,,,\n\n", "utf-8"),
        ("email,name,role\n{email},Zoë,support,,\n", "utf-8"),
        ('"email";"name";"role"\n"{email}";"Zoë";"support"\n', "utf-8"),
        ("email,name,role\n{email},Zoë,Support\n", "utf-8"),
        ("email,name,role\n{email},Zoë,SUPPORT\n", "utf-8"),
    ],
)
async def test_a_file_as_a_spreadsheet_saves_it_is_imported(
    run: Run, acme: Organization, tmp_path: Path, text: str, encoding: str
) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(text.replace("{email}", acme.address("zoe")).encode(encoding))
    done = await run("import", "members", str(file), "--organization", acme.id)
    assert done.stdout == f"1 new member of {acme.id}; members already: 0.\n", done.output
    listed = (await acme.administrator.ask("GET", f"{acme.path}/members")).json()["items"]
    [zoe] = [each for each in listed if each["email"] == acme.address("zoe")]
    assert (zoe["name"], [each["role"] for each in zoe["roles"]]) == ("Zoë", ["support"])


async def test_a_custom_role_is_imported_by_its_id_and_by_its_name(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    await acme.add_custom_role("till_keeper", "refunds_create")
    people = {"ann": "till_keeper", "ben": "Till_Keeper", "cem": "TILL_KEEPER"}
    file = _file(tmp_path, *[f"{acme.address(who)},,{role}" for who, role in people.items()])
    done = await run("import", "members", file, "--organization", acme.id)
    assert done.exit_code == 0, done.stderr
    roles = (await acme.roles_by_member()).values()
    assert [held for held in roles if held == ["till_keeper"]] == [["till_keeper"]] * 3
    await assert_agreement(acme)


async def test_a_name_that_two_roles_have_is_refused(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    await acme.add_custom_role("till", "refunds_create")
    async with acme.deployment.operator(acme.id) as change:
        change.session.add(CustomRole(organization_id=acme.id, id=RoleId("other"), name="TILL"))
    file = _file(tmp_path, f"{acme.address('ann')},,Till", f"{acme.address('ben')},,till")
    refused = await run("import", "members", file, "--organization", acme.id)
    _, mistake = refused.stderr.splitlines()
    assert mistake == (
        "line 2: column role: found 'Till'. Several roles have this name: other, till. Write the id."
    )


async def test_each_mistake_names_its_line_its_column_and_what_was_found(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    file = _file(
        tmp_path,
        "nobody,No,support",
        "a@example.com,A,overlord",
        "b@example.com,B,",
        ",C,support",
        "d@example.com,D,support,more",
        "e@example.com,E\x07,support",
        '"f@example.com\n",F,administrator',
    )
    refused = await run("import", "members", file, "--organization", acme.id)
    first, *mistakes = refused.stderr.splitlines()
    expected = [
        "line 2: column email: found 'nobody'. 'nobody' is not a valid e-mail address.",
        "line 3: column role: found 'overlord'. There is no role 'overlord'.",
        "line 4: column role: it is empty. Every row needs one.",
        "line 5: column email: it is empty. Every row needs one.",
        "line 6: column 4: found 'more'. The row has more fields than the file has columns.",
        r"line 7: column name: found 'E\x07'. name must have",
        "line 9: column role: found 'administrator'. Only operators",
    ]
    assert first.endswith(f"has {len(expected)} mistakes.")
    for mistake, begin in zip(mistakes, expected, strict=True):
        assert mistake.startswith(begin)


@pytest.mark.parametrize(
    ("heading", "found"),
    [
        ("e-mail;name;role", "'e-mail', 'name', 'role'"),
        ("email,name,role,role", "'email', 'name', 'role', 'role'"),
        ("email,email,name,role", "'email', 'email', 'name', 'role'"),
        ("email,name,role,expires_at", "'email', 'name', 'role', 'expires_at'"),
        ("ana@example.com,Ana,support", "'ana@example.com', 'Ana', 'support'"),
    ],
)
async def test_a_heading_with_other_columns_is_quoted(
    run: Run, acme: Organization, tmp_path: Path, heading: str, found: str
) -> None:
    file = tmp_path / "members.csv"
    file.write_text(f"{heading}\n")
    refused = await run("import", "members", str(file), "--organization", acme.id)
    assert refused.stderr.splitlines()[1] == (
        f"line 1: the columns must be email, name, role, in any order. Found: {found}."
    )
