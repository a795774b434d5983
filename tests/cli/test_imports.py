"""`teamaccess import members`: everybody in a file, at once and again."""

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.ledger.sides import agreed
from tests.steps import members
from tests.world import Team


def _file(folder: Path, *rows: str) -> str:
    file = folder / "members.csv"
    file.write_text("\n".join(["email,name,role", *rows]), encoding="utf-8")
    return str(file)


async def test_everybody_in_a_file_becomes_a_member_and_who_is_one_stays(
    run: Run, acme: Team, tmp_path: Path
) -> None:
    await acme.invite("bob", ["support"])
    bob = await acme.member("dan", roles=["support"])
    people = [f"p{number}@{acme.id}.example,Person {number},product" for number in range(1000)]
    file = _file(
        tmp_path, *people, f"{acme.address('dan')},Dan,product", f"{acme.address('bob')},,product"
    )

    done = await run("import", "members", file, "--organization", acme.id, "--json")
    assert json.loads(done.stdout) == {"organization": acme.id, "rows": 1002, "joined": 1001}
    assert (await members(acme))[bob.id] == ["support"]
    assert len(await members(acme)) == 1003
    assert (await acme.accept("bob")).status_code == 409
    again = await run("import", "members", file, "--organization", acme.id, "--json")
    assert json.loads(again.stdout)["joined"] == 0
    await agreed(acme)


async def test_a_file_with_mistakes_changes_nothing_and_tells_them_all(
    run: Run, acme: Team, tmp_path: Path
) -> None:
    file = _file(
        tmp_path,
        "ok@example.com,Ok,support",
        "nobody,No,support",
        "a@example.com,A,overlord",
        "ok@example.com,Ok,support",
    )
    refused = await run("import", "members", file, "--organization", acme.id)
    assert refused.exit_code == 2
    told = [line.partition(":")[0] for line in refused.stderr.splitlines() if "line" in line]
    assert told == ["line 3", "line 4", "line 5"]
    assert len(await members(acme)) == 1


async def test_administrators_are_not_imported(run: Run, acme: Team, tmp_path: Path) -> None:
    file = _file(tmp_path, f"{acme.address('eve')},Eve,administrator")
    refused = await run("import", "members", file, "--organization", acme.id)
    assert refused.exit_code == 2
    assert "administrator cannot be granted here" in refused.stderr
    assert len(await members(acme)) == 1
