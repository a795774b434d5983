"""Which SpiceDB is used, and how one is built.

Compiling takes minutes, so a script stands in for `go`, both when it works and when it fails. The
setup of every new machine runs the real one.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from teamaccess.local.errors import BuildFailed, HomelessUser, NoGo, ProgramMissing
from teamaccess.local.home import Home
from teamaccess.local.spicedb import binary, go
from teamaccess.local.spicedb.binary import cached_binary, find_spicedb, pinned_go, pinned_version
from teamaccess.local.spicedb.build import ensure_spicedb

BUILDS = """
case $1 in
  version) echo "go version go1.99.0 linux/amd64" ;;
  list) echo "go: downloading a v1" >&2; echo a; echo b ;;
  build) echo a >&2; echo b >&2; sleep 0.3
    for each; do case $each in -o=*) echo "built as $$" > "${each#-o=}" ;; esac; done ;;
esac
"""
FAILS = """
case $1 in
  version) echo "go version go1.99.0 linux/amd64" ;;
  *) echo "go: downloading a v1" >&2; echo "go: no route to the proxy" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Go and SpiceDB. Programs in this folder are on its PATH."""
    monkeypatch.delenv("TEAMACCESS_SPICEDB_BINARY", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(go, "find_spec", lambda name: None)
    monkeypatch.setattr(binary, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path


def write_program(program: Path, script: str) -> Path:
    """Write a program that is a few lines of shell."""
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_a_recent_spicedb_on_the_path_is_used(path: Path) -> None:
    spicedb = write_program(path / "spicedb", f"echo spicedb {pinned_version()}")
    assert ensure_spicedb() == spicedb


def test_an_older_spicedb_on_the_path_is_ignored(path: Path) -> None:
    write_program(path / "spicedb", "echo spicedb v1.30.0")
    assert find_spicedb() is None


def test_a_configured_spicedb_takes_precedence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(path / "spicedb", f"echo spicedb {pinned_version()}")
    monkeypatch.setenv("TEAMACCESS_SPICEDB_BINARY", str(write_program(path / "mine", "")))
    assert ensure_spicedb() == path / "mine"


def test_a_configured_spicedb_that_cannot_run_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMACCESS_SPICEDB_BINARY", str(path / "missing"))
    with pytest.raises(ProgramMissing, match="TEAMACCESS_SPICEDB_BINARY must name a program"):
        ensure_spicedb()


def test_spicedb_is_built_once_for_all_checkouts_of_a_user(path: Path) -> None:
    write_program(path / "go", BUILDS)
    built = ensure_spicedb()
    assert built == cached_binary()
    assert pinned_version() in str(built)
    (path / "go").unlink()
    assert ensure_spicedb() == built


def test_a_build_leaves_only_the_program(path: Path) -> None:
    write_program(path / "go", BUILDS)
    folder = ensure_spicedb().parent
    assert sorted(entry.name for entry in folder.iterdir()) == ["lock", "spicedb"]


def test_two_concurrent_builds_do_not_interfere(path: Path) -> None:
    write_program(path / "go", BUILDS)
    with ThreadPoolExecutor() as threads:
        one, two = (threads.submit(ensure_spicedb) for _ in range(2))
    assert one.result() == two.result()
    assert one.result().read_text().count("built as") == 1


def test_the_build_reports_progress(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_program(path / "go", BUILDS)
    ensure_spicedb()
    assert "Compiling: 0 of 2 packages" in capsys.readouterr().err


def test_a_failed_build_is_reported_in_one_sentence_with_the_remedy(path: Path) -> None:
    write_program(path / "go", FAILS)
    with pytest.raises(BuildFailed) as failed:
        ensure_spicedb()
    sentence = str(failed.value)
    assert sentence.startswith("SpiceDB could not be built: go: no route to the proxy. ")
    assert sentence.endswith("as `spicedb` on PATH or with TEAMACCESS_SPICEDB_BINARY.")
    assert find_spicedb() is None


def test_a_failed_build_can_be_repeated(path: Path) -> None:
    write_program(path / "go", FAILS)
    with pytest.raises(BuildFailed):
        ensure_spicedb()
    write_program(path / "go", BUILDS)
    assert ensure_spicedb() == cached_binary()


@pytest.mark.parametrize("script", ["echo go version go1.20 linux/amd64", "exit 1"])
def test_a_missing_or_old_go_is_reported_in_one_sentence(path: Path, script: str) -> None:
    write_program(path / "go", script)
    with pytest.raises(NoGo, match=f"needs Go {pinned_go()} or newer"):
        ensure_spicedb()


@pytest.mark.usefixtures("without_passwd_entry")
def test_a_user_without_a_home_folder_learns_what_to_set(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "user_cache_path", user_cache_path)
    with pytest.raises(HomelessUser, match=r"Set HOME .* TEAMACCESS_SPICEDB_BINARY"):
        ensure_spicedb()
    with pytest.raises(HomelessUser, match=r"Set HOME .* --home"):
        Home(Path("~/stack"))
    program = write_program(path / "spicedb", "")
    monkeypatch.setenv("TEAMACCESS_SPICEDB_BINARY", str(program))
    assert find_spicedb() == program


def test_a_build_goes_on_although_nobody_reads_its_progress(path: Path) -> None:
    write_program(path / "go", BUILDS)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "teamaccess.local.spicedb.build"],
        env={**os.environ, "XDG_CACHE_HOME": str(path / "cache")},
        stdout=writer,
        stderr=writer,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0
    assert list((path / "cache").rglob("spicedb")) != []
