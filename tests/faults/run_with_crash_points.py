"""`python -m tests.faults.run_with_crash_points FOLDER COMMAND...` runs a command with crash points."""

import sys
from pathlib import Path

from teamaccess.cli.main import app
from tests.faults.crash_points import CrashPoints


def main(folder: str, *command: str) -> None:
    """Run the command. The folder says at which points it dies."""
    CrashPoints(Path(folder)).install()
    app(list(command))


if __name__ == "__main__":
    main(*sys.argv[1:])
