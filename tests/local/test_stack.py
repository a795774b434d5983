"""A stack on real processes: what it keeps, what it refuses, who stops whom."""

import socket
import stat
from pathlib import Path

import psutil
import pytest

from teamaccess.local.errors import AlreadyRunning, CommandFailed, HomeNotOurs, PortTaken
from teamaccess.local.postgres import APPLICATION
from teamaccess.local.stack import LocalStack
from tests.local.conftest import NewStack


def test_data_and_secrets_survive_a_restart(new_stack: NewStack) -> None:
    before = new_stack()
    before.postgres.psql("CREATE TABLE kept AS SELECT 42 AS answer")
    after = new_stack()
    assert after.postgres.psql("SELECT answer FROM kept") == "42\n"
    assert after.home.secrets() == before.home.secrets()


def test_a_fresh_start_erases_what_was_kept(new_stack: NewStack, home: Path) -> None:
    before = new_stack()
    before.postgres.psql("CREATE TABLE kept ()")
    secrets = before.home.secrets()
    before.__exit__(None, None, None)
    with LocalStack(home, fresh=True) as after:
        after.postgres.start()
        assert after.postgres.psql("SELECT to_regclass('kept') IS NULL") == "t\n"
        assert after.home.secrets() != secrets


def test_the_application_owns_nothing_and_makes_no_tables(new_stack: NewStack) -> None:
    postgres = new_stack().postgres
    with pytest.raises(CommandFailed, match="permission denied for schema public"):
        postgres.psql(f"SET ROLE {APPLICATION}; CREATE TABLE mine ()", database=APPLICATION)


def test_nobody_else_reads_secrets_or_speaks_to_the_database(new_stack: NewStack) -> None:
    stack = new_stack()
    stack.home.secrets()
    sockets = Path(stack.postgres.psql("SHOW unix_socket_directories").strip())
    private = [stack.home.path, stack.home.path / "secrets.json", stack.home.mail, sockets]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in private] == [0, 0, 0, 0]
    assert stack.postgres.psql("SHOW listen_addresses") == "\n"


def test_secrets_stay_out_of_the_arguments_of_processes(new_stack: NewStack) -> None:
    stack = new_stack()
    spicedb = stack.start_spicedb()
    arguments = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert any(spicedb.endpoint in line for line in arguments)
    assert not any(spicedb.key in line for line in arguments)


def test_two_homes_run_side_by_side(new_stack: NewStack, tmp_path: Path) -> None:
    one = new_stack()
    with LocalStack(tmp_path / "other") as two:
        two.postgres.start()
        one.postgres.psql("CREATE TABLE only_here ()")
        assert two.postgres.psql("SELECT to_regclass('only_here') IS NULL") == "t\n"
        assert one.start_spicedb().endpoint != two.start_spicedb().endpoint
        two.supervisor.stop()
        two.home.erase()
    assert one.postgres.psql("SELECT 1") == "1\n"


def test_a_home_has_one_stack_at_a_time(new_stack: NewStack, home: Path) -> None:
    new_stack()
    with pytest.raises(AlreadyRunning, match=r"runs in .*home already"), LocalStack(home):
        pass


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    with LocalStack(tmp_path / ("long" * 30) / ("longer" * 20)) as stack:
        stack.postgres.start()
        assert stack.postgres.psql("SELECT 1") == "1\n"
        stack.supervisor.stop()
        stack.home.erase()


def test_a_folder_that_keeps_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    letter = tmp_path / "mail" / "letter"
    letter.write_text("Dear Ana")
    with (
        pytest.raises(HomeNotOurs, match="other things are kept there"),
        LocalStack(tmp_path, fresh=True),
    ):
        pass
    assert letter.read_text() == "Dear Ana"


def test_a_taken_port_is_named_with_the_way_out(new_stack: NewStack) -> None:
    stack = new_stack()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} .* SpiceDB, .* --spicedb-port \(0 "):
            stack.start_spicedb(port=port)
