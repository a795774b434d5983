"""Addresses of databases: passwords with special characters, and hosts without TLS."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from teamaccess.common.configuration.settings import InvalidSettings, Settings
from teamaccess.ledger import create_pool
from tests.support.command_line import Run
from tests.support.deployment import Deployment, open_deployment

NEEDED = {
    "SPICEDB_ENDPOINT": "127.0.0.1:50051",
    "SPICEDB_PRESHARED_KEY": "the key of SpiceDB",
    "SECRET_KEY": "a secret of the deployment",
}
SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""The first message of a client that wants TLS. It contains no user name."""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a deployment, without those of this machine."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TEAMACCESS_{name.upper()}", raising=False)
    for name in ("PGHOST", "PGPORT", "PGSSLMODE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NEEDED, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)


def settings_with(monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    """The settings of a deployment, with these in addition."""
    for name, value in more.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)
    return Settings.discover()


# --- TLS ---


def connection_arguments(settings: Settings) -> dict[str, object]:
    """The arguments of the driver."""
    driver: Any = asyncpg_dialect
    _, reported = driver().create_connect_args(make_url(settings.sqlalchemy_url))
    return dict(reported)


@pytest.mark.parametrize(
    ("address", "dsn"),
    [
        ("postgresql://t:pw@db.internal/t", "postgresql://?sslmode=require"),
        ("postgresql://t:pw@/t?host=10.0.0.7", "postgresql://?sslmode=require"),
        ("postgresql://t:pw@db.internal/t?sslmode=disable", "postgresql://?sslmode=disable"),
        (
            "postgresql://t:pw@db.internal/t?sslmode=verify-full&sslrootcert=%2Fdev%2Fnull",
            "postgresql://?sslmode=verify-full&sslrootcert=%2Fdev%2Fnull",
        ),
        ("postgresql://t:pw@127.0.0.1/t", None),
        ("postgresql://t:pw@localhost/t", None),
        ("postgresql://t:pw@/t?host=%2Frun%2Fpostgresql", None),
        ("postgresql:///t", None),
    ],
)
def test_postgresql_on_another_host_is_connected_over_tls_by_default(
    monkeypatch: pytest.MonkeyPatch, address: str, dsn: str | None
) -> None:
    reported = connection_arguments(settings_with(monkeypatch, DATABASE_URL=address))
    assert reported.get("dsn") == dsn
    assert not any(name.startswith("ssl") for name in reported)


@pytest.mark.parametrize(
    ("host", "dsn"),
    [
        ("db.internal", "postgresql://?sslmode=require"),
        ("10.0.0.7", "postgresql://?sslmode=require"),
        ("localhost,db.internal", "postgresql://?sslmode=require"),
        ("localhost", None),
        ("/run/postgresql", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("address", ["postgresql://t:pw@/t", "postgresql:///t"])
def test_a_host_from_the_environment_is_connected_over_tls_too(
    monkeypatch: pytest.MonkeyPatch, address: str, host: str, dsn: str | None
) -> None:
    monkeypatch.setenv("PGHOST", host)
    reported = connection_arguments(settings_with(monkeypatch, DATABASE_URL=address))
    assert reported.get("dsn") == dsn


@pytest.mark.parametrize("query", ["sslmode=", "ssl=true", "sslrootcert=%2Fdev%2Fnull"])
def test_tls_stays_on_unless_it_is_disabled_explicitly(
    monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    address = f"postgresql://t:pw@db.internal/t?{query}"
    reported = connection_arguments(settings_with(monkeypatch, DATABASE_URL=address))
    assert str(reported["dsn"]).startswith("postgresql://?sslmode=require")


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_stricter_mode_from_the_environment_is_kept(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("PGSSLMODE", mode)
    address = "postgresql://t:pw@db.internal/t"
    assert "dsn" not in connection_arguments(settings_with(monkeypatch, DATABASE_URL=address))


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_a_laxer_mode_from_the_environment_is_ignored(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("PGSSLMODE", mode)
    address = "postgresql://t:pw@db.internal/t"
    reported = connection_arguments(settings_with(monkeypatch, DATABASE_URL=address))
    assert reported["dsn"] == "postgresql://?sslmode=require"


@pytest.mark.parametrize("by", ["the address", "the environment"])
async def test_a_server_without_tls_gets_no_user_and_no_password(
    monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The settings name it as a host on another machine."""
    monkeypatch.setenv("TEAMACCESS_SPICEDB_INSECURE", "true")
    monkeypatch.setattr("teamaccess.common.urls.is_loopback", lambda host: False)
    received: list[bytes] = []

    async def refuse_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1000))
        writer.write(b"N")
        if more := await reader.read(1000):
            received.append(more)
        writer.close()

    server = await asyncio.start_server(refuse_tls, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = f"postgresql://ana:hunter2@127.0.0.1:{port}/t"
    if by == "the environment":
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(port))
        address = "postgresql://ana:hunter2@/t"
    engine = create_pool(settings_with(monkeypatch, DATABASE_URL=address).sqlalchemy_url)
    async with server:
        with pytest.raises(ConnectionError, match="SSL"):
            await engine.connect()
        await engine.dispose()
    assert set(received) == {SSL_REQUEST}


# --- passwords ---

PASSWORDS = [
    "#hunter2",
    "?hunter2",
    "/hunter2",
    "hun@ter2",
    "hunter2%",
    "%25hunter2",
    "h:[]&=+u n2",
]
BREAKING_PASSWORDS = [
    "hunter2#x",
    "12#hunter2",
    "#hunter2",
    "?hunter2",
    "12?hunter2",
    "?hun=ter2",
    "12?hun=ter2",
    "/hunter2",
    "12/hunter2",
    "hun@ter2",
    "12@ter2",
    "hun@ter2?x",
    "hun@ter2/x",
    "[hunter2",
    "hunter2]",
]
"""Passwords that break an address unless they are encoded."""
ADDRESSES = ["DATABASE_URL", "OWNER_DATABASE_URL"]
COMMANDS = [["operator", "auditors"], ["ledger", "verify"], ["worker"], ["migrate"]]


def assert_no_part_of_the_password(output: str) -> None:
    """Nothing of the password is printed."""
    for part in ("hunter2", "ter2", "hun@"):
        assert part not in output, output


@pytest.mark.parametrize("password", PASSWORDS)
def test_an_encoded_password_is_decoded(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    encoded = quote(password, safe="")
    address = f"postgresql://ana:{encoded}@127.0.0.1:5433/t?application_name=x"
    reported = connection_arguments(settings_with(monkeypatch, DATABASE_URL=address))
    assert (reported["user"], reported["password"]) == ("ana", password)
    assert (reported["host"], reported["port"], reported["database"]) == ("127.0.0.1", 5433, "t")


@pytest.mark.parametrize("password", PASSWORDS)
async def test_a_deployment_with_an_encoded_password_starts(
    run: Run, fintoc: Deployment, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    for name, address in (
        ("DATABASE_URL", fintoc.settings.database_url),
        ("OWNER_DATABASE_URL", fintoc.owner_url),
    ):
        encoded = address.replace("@", f":{quote(password, safe='')}@", 1)
        monkeypatch.setenv(f"TEAMACCESS_{name}", encoded)
    for command in (["operator", "auditors"], ["migrate"]):
        done = await run(*command)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("password", BREAKING_PASSWORDS)
def test_an_address_broken_by_its_password_is_refused_without_quoting_it(
    monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    wanted = {"DATABASE_URL": "postgresql:///t", name: f"postgresql://ana:{password}@127.0.0.1/t"}
    with pytest.raises(InvalidSettings, match="percent-encoded") as refused:
        settings_with(monkeypatch, **wanted)
    assert f"TEAMACCESS_{name}" in str(refused.value)
    assert_no_part_of_the_password(str(refused.value))
    assert_no_part_of_the_password(repr(refused.value.facts))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ana@corp:pw@127.0.0.1/t",
        "postgresql://ana:pw@127.0.0.1:/t",
        "mysql://ana:hunter2@127.0.0.1/t",
        "ana:hunter2@127.0.0.1/t",
        "postgresql://ana:pw@127.0.0.1/t?hunter2",
        "postgresql://ana:hunter2@db.internal/t?ssl=disable",
    ],
)
def test_a_malformed_database_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(InvalidSettings, match="TEAMACCESS_DATABASE_URL") as refused:
        settings_with(monkeypatch, DATABASE_URL=address)
    assert_no_part_of_the_password(str(refused.value))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ana:pw@127.0.0.1/t?user=ana@corp",
        "postgresql://ana@127.0.0.1/t",
        "postgres://ana:pw@127.0.0.1/t",
        "postgresql+asyncpg://ana:pw@127.0.0.1/t",
        "postgresql://ana:p:w@[::1]:5433/t",
        "postgresql:///t?host=%2Frun%2Fpostgresql&user=ana@corp",
    ],
)
def test_an_unambiguous_database_address_is_accepted(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    assert settings_with(monkeypatch, DATABASE_URL=address).database_url == address


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ana:hunter2@127.0.0.1:1/t",
        "postgresql://ana:hunter2@127.0.0.1:1/t?made_up=x",
        "postgresql://ana:hunter2@nowhere.invalid:1/t",
        "postgresql://ana:hun@ter2@127.0.0.1:1/t",
        "postgresql://ana:/hunter2@127.0.0.1:1/t",
    ],
)
async def test_a_command_without_its_database_does_not_print_the_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, address: str, command: list[str], as_json: bool
) -> None:
    for name in ADDRESSES:
        monkeypatch.setenv(f"TEAMACCESS_{name}", address)
    if command == ["worker"]:
        monkeypatch.setenv("TEAMACCESS_CATALOG", "none such")  # else it would wait for the database
    done = await run(*command, *(["--json"] if as_json else []))
    assert done.exit_code == 2
    assert_no_part_of_the_password(done.output)


async def test_a_server_without_its_database_does_not_print_the_password(
    fintoc: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    away = {"database_url": "postgresql://ana:hunter2@127.0.0.1:1/t"}
    async with open_deployment(
        fintoc.settings.model_copy(update=away), fintoc.owner_url
    ) as deployment:
        token = await fintoc.token("usr_1")
        answers: list[httpx.Response] = []
        for path in ("/readyz", "/metrics", "/v1/me"):
            headers = {"Authorization": f"Bearer {token}"}
            answers.append(await deployment.http.get(path, headers=headers))
    assert {each.status_code for each in answers} == {503}
    output = "".join(capfd.readouterr())
    assert "database_error" in output
    for each in (output, *(answer.text for answer in answers)):
        assert_no_part_of_the_password(each)
