"""The command `teamaccess`, also as `python -m teamaccess`."""

import sys


def run_command() -> None:
    """Run the command. Without the extra `server`, print how to install the packages that it needs."""
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
