"""libpq URLs take effect as PostgreSQL documents them. Every other address is refused at the start."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from teamaccess.common.postgres.address import InvalidAddress, sqlalchemy_url
from teamaccess.ledger import create_pool
from tests.support.command_line import Run
from tests.support.deployment import Deployment


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE", "PGSERVICEFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def driver_arguments(address: str) -> dict[str, Any]:
    driver: Any = asyncpg_dialect
    _, arguments = driver().create_connect_args(make_url(sqlalchemy_url(address)))
    return dict(arguments)


async def settings_in_session(address: str, *names: str) -> list[str]:
    """What PostgreSQL says about a connection with this address."""
    pool = create_pool(sqlalchemy_url(address), connections=1)
    try:
        async with pool.connect() as connection:
            return [await connection.scalar(text(f"SHOW {name}")) for name in names]
    finally:
        await pool.dispose()


# --- accepted ---


@pytest.mark.parametrize(
    ("parameters", "setting", "value"),
    [
        ("sslmode=require", "timezone", "UTC"),
        ("ssl=true", "timezone", "UTC"),
        ("application_name=payments", "application_name", "payments"),
        ("fallback_application_name=payments", "application_name", "payments"),
        ("application_name=a&fallback_application_name=b", "application_name", "a"),
        ("connect_timeout=10", "timezone", "UTC"),
        ("connect_timeout=0", "timezone", "UTC"),
        ("options=-c%20work_mem%3D8MB", "work_mem", "8MB"),
        ("options=-c%20work_mem%3D8MB%20-c%20geqo%3Doff", "geqo", "off"),
        ("target_session_attrs=any", "timezone", "UTC"),
        ("target_session_attrs=read-write", "timezone", "UTC"),
        ("target_session_attrs=primary", "timezone", "UTC"),
        ("sslmode=require&application_name=a&connect_timeout=5", "application_name", "a"),
        ("channel_binding=prefer&gssencmode=disable&sslsni=1", "timezone", "UTC"),
        ("client_encoding=UTF8", "client_encoding", "UTF8"),
    ],
)
async def test_documented_parameters_take_effect(
    fintoc: Deployment, parameters: str, setting: str, value: str
) -> None:
    address = f"{fintoc.settings.database_url}&{parameters}"
    assert await settings_in_session(address, setting) == [value]


@pytest.mark.parametrize(
    "parameters",
    [
        "sslmode=require",
        "sslmode=require&application_name=payments&connect_timeout=10&target_session_attrs=read-write",
    ],
)
async def test_commands_and_migrations_accept_the_addresses_of_hosted_databases(
    run: Run, fintoc: Deployment, monkeypatch: pytest.MonkeyPatch, parameters: str
) -> None:
    monkeypatch.setenv("TEAMACCESS_DATABASE_URL", f"{fintoc.settings.database_url}&{parameters}")
    monkeypatch.setenv("TEAMACCESS_OWNER_DATABASE_URL", f"{fintoc.owner_url}&{parameters}")
    for command in (["operator", "auditors"], ["migrate"]):
        done = await run(*command)
        assert done.exit_code == 0, done.output


async def test_the_first_host_that_answers_is_used(fintoc: Deployment, tmp_path: Path) -> None:
    name = fintoc.settings.database_url.rpartition("host=")[2]
    address = fintoc.settings.database_url.replace(
        f"host={name}", f"host={tmp_path},{name}&port=5432"
    )
    assert await settings_in_session(address, "timezone") == ["UTC"]


async def test_a_host_that_never_answers_does_not_hide_the_next_one(
    fintoc: Deployment, tmp_path: Path
) -> None:
    """The first host accepts the connection and stays silent."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_unix_server(say_nothing, str(tmp_path / ".s.PGSQL.5432"))
    name = fintoc.settings.database_url.rpartition("host=")[2]
    address = fintoc.settings.database_url.replace(
        f"host={name}", f"host={tmp_path},{name}&connect_timeout=1"
    )
    async with silent:
        assert await settings_in_session(address, "timezone") == ["UTC"]


async def test_a_read_only_host_is_not_used_for_read_write(fintoc: Deployment) -> None:
    only_reads = "options=-c%20default_transaction_read_only%3Don"
    address = f"{fintoc.settings.database_url}&{only_reads}&target_session_attrs="
    assert await settings_in_session(f"{address}any", "transaction_read_only") == ["on"]
    with pytest.raises(Exception, match=r"session attributes|read.write|target_session"):
        await settings_in_session(f"{address}read-write", "timezone")


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("postgresql://a:b@db1,db2/t", ["db1", "db2"], [5432, 5432]),
        ("postgresql://a:b@db1:5433,db2:5434/t", ["db1", "db2"], [5433, 5434]),
        ("postgresql://a:b@[2001:db8::1]:5433,db_2/t", ["2001:db8::1", "db_2"], [5433, 5432]),
        ("postgresql://a:b@/t?host=db1,db2&port=5433", ["db1", "db2"], [5433, 5433]),
        ("postgresql://a:b@/t?host=db1&port=5433", "db1", 5433),
        ("postgresql://a:b@%2Frun%2Fpostgresql/t", "/run/postgresql", None),
        ("postgresql://a:b@/t?hostaddr=10.0.0.7", "10.0.0.7", None),
        ("postgres://a:b@db1/t", "db1", None),
        ("postgresql://a:b@db1:5433/t?host=db2", "db2", 5433),
    ],
)
def test_hosts_and_ports_are_read_as_documented(address: str, host: object, port: object) -> None:
    arguments = driver_arguments(address)
    found, ports = arguments["host"], arguments.get("port")
    assert (list(found) if isinstance(host, list) else found) == host
    assert (list(ports or []) if isinstance(port, list) else ports) == port


@pytest.mark.parametrize("password", ["a+b", "a b", "p%w", "/#?@:", "ü", "&="])
def test_a_password_in_a_parameter_is_decoded_as_libpq_does(password: str) -> None:
    arguments = driver_arguments(f"postgresql://ana@db/t?password={quote(password, safe='+')}")
    assert arguments["password"] == password


def test_a_service_file_supplies_what_the_address_does_not_name(tmp_path: Path) -> None:
    file = tmp_path / "services.conf"
    file.write_text(
        "# the databases of this machine\n[payments]\nhost=db.internal\nport=5433\nuser=ana\n"
        "password=p%w#x\nsslmode=disable\n\n[other]\nhost=elsewhere\n"
    )
    arguments = driver_arguments(f"postgresql:///t?service=payments&servicefile={file}&user=bob")
    assert (arguments["host"], arguments["port"], arguments["user"]) == ("db.internal", 5433, "bob")
    assert (arguments["password"], arguments["database"]) == ("p%w#x", "t")
    assert arguments["dsn"] == "postgresql://?sslmode=disable"


def test_sslrootcert_system_uses_the_machines_certificate_authorities() -> None:
    address = "postgresql://a:b@db.internal/t?sslmode=verify-full&sslrootcert=system"
    arguments = driver_arguments(address)
    assert arguments["ssl"] == "system"
    assert "dsn" not in arguments


def test_files_and_their_parameters_reach_the_driver(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("a file")
    address = (
        f"postgresql://a@db.internal/t?sslmode=verify-full&sslrootcert={tmp_path}/ca"
        f"&sslcert={tmp_path}/cert&sslkey={tmp_path}/key&passfile={tmp_path}/pass"
    )
    dsn = driver_arguments(address)["dsn"]
    for name in ("sslmode=verify-full", "sslrootcert=", "sslcert=", "sslkey=", "passfile="):
        assert name in dsn


# --- refused ---


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://ana:hunter2@db/t", "must be postgresql://"),
        ("ana:hunter2@db/t", "must be postgresql://"),
        ("host=db password=hunter2", "space"),
        ("postgresql://ana:hunter2@db/t\n", "line break"),
        ("postgresql://ana:hun%ter2@db/t", "percent-encoded"),
        ("postgresql://ana:hunter2@db:0/t", "port"),
        ("postgresql://ana:hunter2@db:70000/t", "port"),
        ("postgresql://ana:hunter2@db,/t", "percent-encoded"),
        ("postgresql://ana:hunter2@db,db2/t?port=1,2,3", "as many ports as hosts"),
        ("postgresql://ana:hunter2@db/t?made_up=hunter2", "does not document"),
        ("postgresql://ana:hunter2@db/t?hunter2=x", "percent-encoded"),
        ("postgresql://ana:hunter2@db/t?sslmod=require", "similar to sslmode"),
        ("postgresql://ana:hunter2@db/t?sslmode=on", "not one of disable, allow"),
        ("postgresql://ana:hunter2@db/t?sslmode=require&sslmode=disable", "sslmode twice"),
        ("postgresql://ana:hunter2@db/t?connect_timeout=10s", "whole number of seconds"),
        ("postgresql://ana:hunter2@db/t?target_session_attrs=writable", "not one of any"),
        ("postgresql://ana:hunter2@db/t?channel_binding=require", "sslmode=verify-full"),
        ("postgresql://ana:hunter2@db/t?keepalives_idle=10", "Remove it"),
        ("postgresql://ana:hunter2@db/t?load_balance_hosts=random", "Remove it"),
        ("postgresql://ana:hunter2@db/t?sslrootcert=/no/such.pem", "No such file"),
        ("postgresql://ana:hunter2@db/t?sslcert=/no/such.pem", "No such file"),
        ("postgresql://ana:hunter2@db/t?sslmode=verify-full", "sslrootcert="),
        ("postgresql://ana:hunter2@db/t?sslmode=require&sslrootcert=system", "verify-full"),
        ("postgresql:///t?service=none&servicefile=/no/such.conf", "No such file"),
        ("postgresql://ana:hunter2@db/t?hostaddr=10.0.0.7", "keep host"),
    ],
)
async def test_an_address_that_would_not_take_effect_is_refused_at_the_start(
    run: Run, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    with pytest.raises(InvalidAddress, match=message) as refused:
        sqlalchemy_url(address)
    monkeypatch.setenv("TEAMACCESS_DATABASE_URL", address)
    done = await run("operator", "auditors")
    assert done.exit_code == 2
    assert "TEAMACCESS_DATABASE_URL" in done.output
    for part in ("hunter2", "hun", "ter2"):
        assert part not in done.output
        assert part not in str(refused.value)


def test_an_address_without_a_user_is_refused_where_the_process_has_no_name(
    without_passwd_entry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidAddress, match=r"Add the user: postgresql://user@host/database"):
        sqlalchemy_url("postgresql://localhost/teamaccess")
    sqlalchemy_url("postgresql://localhost/teamaccess?user=teamaccess")
    monkeypatch.setenv("PGUSER", "teamaccess")
    sqlalchemy_url("postgresql://localhost/teamaccess")


def test_a_service_is_refused_where_the_process_has_no_home(
    without_passwd_entry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = "postgresql://teamaccess@/?service=x"
    with pytest.raises(InvalidAddress, match="PGSERVICEFILE"):
        sqlalchemy_url(address)
    (tmp_path / "services").write_text("[x]\nhost=localhost\nuser=teamaccess\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    assert "localhost" in sqlalchemy_url(address)
