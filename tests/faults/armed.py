"""`python -m tests.faults.armed FOLDER COMMAND...`: a command of teamaccess with points to die at."""

import sys
from pathlib import Path

from teamaccess.cli.main import app
from tests.faults.points import Points


def main(folder: str, *command: str) -> None:
    """Run the command; the folder says at which point it dies."""
    Points(Path(folder)).install()
    app(list(command))


if __name__ == "__main__":
    main(*sys.argv[1:])
