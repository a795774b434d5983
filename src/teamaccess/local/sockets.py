"""Choose folders with short paths for unix sockets, and free ports."""

import errno
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path
from pwd import struct_passwd

from teamaccess.local.errors import HomeNotOurs, PortRefused, PortTaken

LONGEST_SOCKET_PATH = 100
"""In bytes. Operating systems allow 104 to 108."""


def socket_folder(home: Path) -> Path:
    """Return a folder for the sockets of a home, whose own path may be too long."""
    key = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"teamaccess-{os.geteuid()}-{key}"
    fits = len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH
    return folder if fits else Path("/tmp") / folder.name  # noqa: S108 - make_socket_folder checks its owner


def make_socket_folder(folder: Path, user: struct_passwd | None) -> None:
    """Make a folder that only `user` can enter, or only the current user if it is None.

    Raises HomeNotOurs if another user owns the folder or may enter it.
    """
    owner = user.pw_uid if user else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    except FileExistsError:
        existing = folder.lstat()
        if (
            not stat.S_ISDIR(existing.st_mode)
            or existing.st_uid != owner
            or existing.st_mode & 0o077
        ):
            raise HomeNotOurs(path=folder, reason="it belongs to somebody else") from None


def choose_port(requested: int, what: str, option: str) -> int:
    """Return the requested port, or any free one for 0. Raises PortTaken and PortRefused."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", requested))
        except OSError as error:
            needed = {"port": requested, "what": what, "option": option}
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(**needed) from None
            raise PortRefused(reason=error.strerror, **needed) from None
        port: int = probe.getsockname()[1]
        return port
