"""The command `teamaccess`, also as `python -m teamaccess`."""

import os
import sys

QUIET = {"GRPC_VERBOSITY": "NONE", "GRPC_ENABLE_FORK_SUPPORT": "false"}
"""Variables that gRPC reads when it is imported. Without them it prints lines of its own between those of
a command or of the log, about refused certificates and about programs that we start. Our errors have its
reasons anyway, and our children run other programs. A variable that is set already stays."""


def run_command() -> None:
    """Run the command. Without the extra `server` nothing of it is installed, and this says so."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from teamaccess.cli.main import app
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "teamaccess":
            raise  # teamaccess itself is installed incompletely
        sys.stderr.write(
            f"The command needs the server's packages, and {missing.name} is not installed. "
            "Run: pip install 'teamaccess[server]'\n"
        )
        sys.exit(2)
    app()


if __name__ == "__main__":
    run_command()
