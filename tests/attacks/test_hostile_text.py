"""Text of a caller stays text, in a terminal, a log, a schema, SQL, CSV and HTTP."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from teamaccess.catalog import InvalidCatalog, load_catalog, read_catalog
from teamaccess.catalog.compiler import compile_schema
from teamaccess.cli.refusals import print_refusal
from teamaccess.cli.terminal import echo
from teamaccess.common import logs
from teamaccess.common.configuration.settings import Settings
from teamaccess.common.errors import Conflict
from teamaccess.common.text import escape_controls
from teamaccess.storage import User
from teamaccess.views.tables import print_table, rows_as_csv
from tests.api.requests import VALID_REQUESTS, RequestTargets
from tests.support.command_line import Run
from tests.support.organization import Organization

ACTED_ON = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202eevil\u2066\U000e0001"
"""Characters that terminals act on: titles, clearing, colours, overwriting, reversed text."""
HOSTILE = [
    "a\0b",
    "a\nb",
    "a\r\nX-Evil: 1",
    "\x1b[31mred",
    "\x9b31m",
    "\u202etxt.exe",
    "\ud800",
    "{organization.__class__}",
    "{0}",
    "%s%n",
    "[red]x[/red]",
    "%' OR 1=1 --",
    "'; DROP TABLE users; --",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "a/b#c@d",
    "user:*",
    "=?utf-8?q?x=0D=0ABcc:_e?=",
]
FORMATTED = [
    "{organization}",
    "{0}",
    "{user.__class__.__mro__}",
    "{missing!r:>99999}",
    "{{",
    "}",
    "%s",
]


class Hostile(Conflict):
    """A refusal with facts of each kind."""

    message = "{name} and {names} and {quoted!r} stay as they are."


# --- templates ---


@pytest.mark.parametrize("name", FORMATTED)
def test_a_refusal_does_not_format_text_of_the_caller(name: str) -> None:
    refusal = Hostile(name=name, names=[name, name], quoted=name)
    assert refusal.detail == f"{name} and {name}, {name} and {name!r} stay as they are."


# --- terminals and logs ---


def acts(text: str) -> bool:
    """Whether a terminal would do more with it than show it."""
    return any(c in text for c in "\x1b\x07\x9b\r\u202e\u2066\U000e0001")


def test_a_command_prints_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    echo(ACTED_ON)
    print_table([ACTED_ON], [[ACTED_ON, "[red]x[/red]"], ["[link=http://evil.example]x", "y"]])
    print_refusal(Hostile(name=ACTED_ON, names=[ACTED_ON], quoted="x"), as_json=False)
    print_refusal(Hostile(name=ACTED_ON, names=[ACTED_ON], quoted="x"), as_json=True)
    print_refusal(ValueError(ACTED_ON), as_json=False)
    printed = capsys.readouterr()
    assert not acts(printed.out)
    assert not acts(printed.err)
    assert "[red]x[/red]" in printed.out
    assert "[link=http://evil.example]x" in printed.out
    [line] = [line for line in printed.err.splitlines() if line.startswith("{")]
    assert json.loads(line)["name"] == ACTED_ON


@given(st.text())
def test_escaping_control_characters_loses_nothing(hostile: str) -> None:
    shown = escape_controls(json.dumps(hostile, ensure_ascii=False))
    assert json.loads(shown) == hostile


@pytest.fixture(params=["console", "json"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> io.StringIO:
    """The log as a service writes it."""
    settings = Settings(
        home=tmp_path,
        database_url="postgresql:///none",
        spicedb_endpoint="127.0.0.1:1",
        spicedb_preshared_key=SecretStr("none"),
        secret_key=SecretStr("a secret of nobody"),
        log_format=request.param,
    )
    logs.configure(settings)
    written = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))
    return written


def test_a_log_entry_is_one_line_without_control_characters(log: io.StringIO) -> None:
    structlog.get_logger().error("mail_failed", cause=ACTED_ON + "\nforged", name="[red]x")
    assert not acts(log.getvalue())
    assert log.getvalue().count("\n") == 1


# --- the schema ---


@pytest.mark.parametrize(
    "hostile",
    [
        "x\n  permission evil = nil\n",
        "x\r  permission evil = nil",
        "x\u2028permission evil = nil",
        "x\u0085permission evil = nil",
        "x\x0bpermission evil = nil",
        "x\x0cpermission evil = nil",
        "x\x1b[31m",
        "x\0",
    ],
)
def test_a_description_cannot_end_its_comment_in_the_schema(hostile: str) -> None:
    with pytest.raises(InvalidCatalog):
        read_catalog(with_description(hostile), "finicom")


@pytest.mark.parametrize(
    "hostile", ["x */ permission evil = nil /*", "// x", "x // permission evil"]
)
def test_text_that_looks_like_schema_stays_a_comment(hostile: str) -> None:
    schema = compile_schema(read_catalog(with_description(hostile), "finicom"))
    plain = compile_schema(load_catalog("finicom"))
    assert without_comments(schema) == without_comments(plain)


def with_description(hostile: str) -> str:
    """Finicom's catalog, with something else as its first description."""
    catalog = (Path(__file__).parents[2] / "schema/catalogs/finicom.yaml").read_text()
    before, key, rest = catalog.partition("description:")
    return f"{before}{key} {json.dumps(hostile)}\n{rest.partition(chr(10))[2]}"


def without_comments(schema: str) -> list[str]:
    return [line for line in schema.split("\n") if not line.lstrip().startswith("//")]


# --- spreadsheets ---


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "\ufeff=1"]
)
def test_a_csv_cell_cannot_become_a_formula(cell: str) -> None:
    [line] = rows_as_csv([[cell, "x"]])
    assert line.lstrip('"').startswith("'")


@pytest.mark.parametrize("separator", [",", ";", "\t", "\n", "\r\n", "\r", "|", "\u2028", "\uff1b"])
@pytest.mark.parametrize(
    "formula", ["=1+1", "+1", "-1", "@x", " =1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", '"=1']
)
def test_a_formula_behind_a_separator_is_quoted_too(separator: str, formula: str) -> None:
    """A spreadsheet may be set to another separator, and then begins a cell there."""
    [line] = rows_as_csv([[f"Ana{separator}{formula}", "x"]])
    [row] = csv.reader(io.StringIO(line, newline=""))
    assert row == [f"Ana{separator}'{formula}", "x"]


@pytest.mark.parametrize(
    "cell", ["Ana; Bob", "ana@example.com", "a-b", "2026-03-31T10:00:00+00:00", "1;2|3", "josé"]
)
def test_a_cell_without_a_formula_stays_as_it_is(cell: str) -> None:
    [line] = rows_as_csv([[cell]])
    assert line.strip() == cell


async def test_every_export_begins_with_a_utf8_mark_and_quotes_formulas(
    acme: Organization, run: Run
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    async with acme.deployment.operator(acme.id) as change:
        (await change.session.get_one(User, bob.id)).name = "Zoë;=1+1"
    questions: dict[str, dict[str, str]] = {
        "who-can": {"action": "refunds_create"},
        "what-can": {"user": bob.id},
        "matrix": {},
    }
    for question, parameters in questions.items():
        answer = await acme.administrator.ask(
            "GET",
            f"{acme.path}/audit/{question}",
            params=parameters,
            headers={"Accept": "text/csv"},
        )
        printed = await run("audit", question, acme.id, *parameters.values(), "--csv")
        for export in (answer.content, printed.stdout_bytes):
            assert export.startswith("\ufeff".encode())
            assert export.count("\ufeff".encode()) == 1
            if question != "what-can":
                assert "Zoë;'=1+1".encode() in export


# --- the API ---


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_body_with_hostile_text_is_stored_as_text_or_refused(
    acme: Organization, hostile: str
) -> None:
    ana = acme.administrator
    bodies: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", "", {"name": hostile}),
        ("POST", "/teams", {"id": "t1", "name": hostile}),
        ("POST", "/teams", {"id": hostile, "name": "x"}),
        ("POST", "/roles", {"id": "r1", "name": hostile, "actions": ["refunds_create"]}),
        ("POST", "/roles", {"id": hostile, "name": "x", "actions": [hostile]}),
        ("POST", "/service-accounts", {"name": hostile, "roles": []}),
        ("POST", "/service-accounts", {"name": "x", "roles": [hostile]}),
        ("POST", "/invitations", {"email": f"{hostile}@x.example", "roles": ["support"]}),
        ("POST", "/invitations", {"email": f"x@{hostile}", "roles": [hostile]}),
        ("POST", "/access-requests", {"action": hostile, "reason": hostile, "duration_hours": 1}),
        ("POST", "/access-requests", {"role": "support", "reason": hostile, "duration_hours": 1}),
        ("PUT", f"/members/{ana.id}/roles", {"roles": [{"role": hostile}], "reason": hostile}),
    ]
    for method, path, body in bodies:
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        answer = await ana.ask(method, acme.path + path, content=content, headers=headers)
        assert answer.status_code < 500, (path, body, answer.text)
        assert "x-evil" not in answer.headers
        assert answer.headers["content-type"].startswith("application/")
    shown = (await ana.ask("GET", acme.path)).json()["name"]
    assert shown in (hostile, acme.id.split("-")[0].title(), hostile.strip()) or shown


@pytest.mark.parametrize("hostile", [each for each in HOSTILE if each != "\ud800"])
async def test_a_path_or_query_with_hostile_text_is_read_as_text_or_refused(
    acme: Organization, hostile: str
) -> None:
    ana, spelled = acme.administrator, quote(hostile, safe="")
    for method, path in (
        ("GET", f"/v1/organizations/{spelled}"),
        ("GET", f"{acme.path}/members/{spelled}"),
        ("GET", f"{acme.path}/members?cursor={spelled}"),
        ("GET", f"{acme.path}/members?q={spelled}"),
        ("GET", f"{acme.path}/invitations?status={spelled}"),
        ("GET", f"{acme.path}/teams/{spelled}"),
        ("GET", f"{acme.path}/resources/{spelled}/{spelled}/grants"),
        ("DELETE", f"/v1/organizations/{spelled}"),
        ("DELETE", f"{acme.path}/members/{spelled}"),
        ("DELETE", f"{acme.path}/invitations/{spelled}"),
        ("PUT", f"{acme.path}/resources/webhook/{spelled}"),
        ("PUT", f"{acme.path}/resources/{spelled}/x"),
    ):
        answer = await ana.ask(method, path)
        assert 400 <= answer.status_code < 500 or answer.is_success, (method, path, answer.text)
        assert answer.status_code < 500
        assert "x-evil" not in answer.headers


QUALITIES = [
    "inf",
    "-inf",
    "nan",
    "-1",
    "1e400",
    "-1e400",
    "1e-400",
    "9" * 400,
    "0x1",
    "1_0",
    "",
    "x",
]
"""Malformed values where HTTP expects a number from 0 to 1.

Python accepts some of them as numbers.
"""
WANTED = [
    "text/csv;q={}",
    "text/csv; q={}, application/json",
    "*/*;q={}",
    "application/x-ndjson;q={}",
]


@pytest.mark.parametrize("quality", QUALITIES, ids=lambda each: each[:8])
async def test_a_malformed_quality_value_is_ignored(acme: Organization, quality: str) -> None:
    for wanted in WANTED:
        accept = {"Accept": wanted.format(quality)}
        answer = await acme.administrator.ask("GET", f"{acme.path}/audit/matrix", headers=accept)
        assert answer.status_code == 200, answer.text


async def test_accepted_hostile_text_breaks_no_route(acme: Organization) -> None:
    targets = await RequestTargets.create(acme)
    paths = [targets.url(route) for route in VALID_REQUESTS if route.method == "GET"]
    for path in [*paths, "/schema", "/schema/openapi.json", "/schema/openapi.yaml"]:
        reported = []
        for accept in ("*/*", "text/csv;q=inf, text/html;q=nan", ";q=1e400", "/;=,;", ""):
            answer = await acme.administrator.ask("GET", path, headers={"Accept": accept})
            reported.append(answer.status_code)
        assert len(set(reported)) == 1, (path, reported)
        assert reported[0] < 500, path
