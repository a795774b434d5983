"""A stack of real processes: what it stores, what it refuses, and how it ends them."""

import errno
import socket
import stat
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from teamaccess.local.errors import (
    AlreadyRunning,
    CommandFailed,
    HomeNotOurs,
    PortRefused,
    PortTaken,
)
from teamaccess.local.home import Home
from teamaccess.local.postgres.server import APPLICATION, LocalPostgres
from teamaccess.local.sockets import choose_port
from teamaccess.local.stack import LocalStack
from tests.conftest import SpiceDBFor
from tests.local.conftest import NewStack


def test_data_and_secrets_survive_a_restart(new_stack: NewStack) -> None:
    before = new_stack()
    before.postgres.psql("CREATE TABLE kept AS SELECT 42 AS answer")
    after = new_stack()
    assert after.postgres.psql("SELECT answer FROM kept") == "42\n"
    assert after.home.secrets() == before.home.secrets()


def test_a_fresh_start_erases_the_data(new_stack: NewStack, home: Path) -> None:
    before = new_stack()
    before.postgres.psql("CREATE TABLE kept ()")
    secrets = before.home.secrets()
    before.__exit__(None, None, None)
    with LocalStack(home, fresh=True) as after:
        after.postgres.start()
        assert after.postgres.psql("SELECT to_regclass('kept') IS NULL") == "t\n"
        assert after.home.secrets() != secrets


def test_the_application_owns_nothing_and_creates_no_tables(postgres: LocalPostgres) -> None:
    with pytest.raises(CommandFailed, match="permission denied for schema public"):
        postgres.psql(f"SET ROLE {APPLICATION}; CREATE TABLE mine ()", database=APPLICATION)


def test_other_users_cannot_read_secrets_or_reach_the_database(
    stack: LocalStack, postgres: LocalPostgres
) -> None:
    stack.home.secrets()
    sockets = Path(postgres.psql("SHOW unix_socket_directories").strip())
    private = [stack.home.path / "secrets.json", stack.home.mail, stack.home.logs, sockets]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in private] == [0, 0, 0, 0]
    assert postgres.psql("SHOW listen_addresses") == "\n"


def test_secrets_stay_out_of_the_arguments_of_processes(spicedb_for: SpiceDBFor) -> None:
    spicedb = spicedb_for("fintoc")
    arguments = " ".join(psutil.Process(spicedb.pid).cmdline())
    assert spicedb.endpoint in arguments
    assert spicedb.key not in arguments
    assert "host=" not in arguments


def test_two_homes_run_side_by_side(
    postgres: LocalPostgres, spicedb_for: SpiceDBFor, home: Path
) -> None:
    with LocalStack(home) as other:
        other.postgres.start()
        other.postgres.psql("CREATE TABLE only_there ()")
        assert postgres.psql("SELECT to_regclass('only_there') IS NULL") == "t\n"
        assert other.start_spicedb().endpoint != spicedb_for("fintoc").endpoint
    assert postgres.psql("SELECT 1") == "1\n"


def test_a_home_has_one_stack_at_a_time(stack: LocalStack) -> None:
    with pytest.raises(AlreadyRunning, match="already"), LocalStack(stack.home.path):
        pass


def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    with LocalStack(tmp_path / ("long" * 30) / ("longer" * 20)) as stack:
        stack.postgres.start()
        assert stack.postgres.psql("SELECT 1") == "1\n"
        stack.supervisor.stop()
        stack.home.erase()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    letter = tmp_path / "mail" / "letter"
    letter.write_text("Dear Ana")
    with (
        pytest.raises(HomeNotOurs, match="other things are kept there"),
        LocalStack(tmp_path, fresh=True),
    ):
        pass
    assert letter.read_text() == "Dear Ana"


def test_a_port_that_needs_a_right_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(socket.socket, "bind", Mock(side_effect=refusal))
    with pytest.raises(PortRefused, match=r"Port 80 .* the API, .*Permission denied.* --port \(0 "):
        choose_port(80, "the API", "--port")


def test_damaged_secrets_are_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.secrets()
    for damaged in ('{"secret_key": "hun', "{}", "[]"):
        (tmp_path / "secrets.json").write_text(damaged)
        with pytest.raises(HomeNotOurs, match=r"its secrets.json is damaged.*--fresh"):
            home.secrets()


@pytest.mark.usefixtures("postgres")
def test_a_port_in_use_is_named_with_the_remedy(stack: LocalStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} .* SpiceDB, .* --spicedb-port \(0 "):
            stack.start_spicedb(port=port)
