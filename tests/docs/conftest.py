"""The command line, for the pages that show its output."""

from tests.cli.conftest import run  # noqa: F401 - the fixture is needed here, too
