"""Short places for unix sockets, and free ports."""

import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path
from pwd import struct_passwd

from teamaccess.local.errors import HomeNotOurs, PortTaken

LONGEST_SOCKET_PATH = 100
"""Bytes; systems allow 104 to 108."""


def socket_folder(home: Path) -> Path:
    """A folder for the sockets of a home: the home's own path may be too long for one."""
    key = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"teamaccess-{os.geteuid()}-{key}"
    fits = len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH
    return folder if fits else Path("/tmp") / folder.name  # noqa: S108 - checked to be ours below


def make_socket_folder(folder: Path, user: struct_passwd | None) -> None:
    """Make it for that user (None: for ourselves) alone; raises HomeNotOurs for somebody else's."""
    owner = user.pw_uid if user else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise HomeNotOurs(path=folder, reason="it belongs to somebody else") from None


def choose_port(wanted: int, what: str, option: str) -> int:
    """The port that is wanted, or any free one for 0; raises PortTaken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            raise PortTaken(port=wanted, what=what, option=option) from None
        port: int = probe.getsockname()[1]
        return port
