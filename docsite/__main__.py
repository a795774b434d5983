"""Build the site strictly: a broken link, a missing page or an unknown anchor fails.

With `serve` it is shown on this machine instead.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import tomlkit

from docsite import http_api
from docsite.navigation import navigation
from docsite.pages import BrokenLinks, stage
from teamaccess.common.formats.streams import harden_streams

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"


def main() -> int:
    """Build the site and return the exit code."""
    harden_streams()
    pages = BUILD / "docs"
    shutil.rmtree(BUILD, ignore_errors=True)
    try:
        stage(ROOT, pages)
    except BrokenLinks as broken:
        print(broken, file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    (pages / "reference").mkdir(exist_ok=True)
    (pages / "reference/http-api.md").write_text(http_api.page(), "utf-8")
    config = tomlkit.parse((ROOT / "zensical.toml").read_text("utf-8")).unwrap()
    config["project"]["nav"] = navigation(pages)
    (BUILD / "zensical.toml").write_text(tomlkit.dumps(config), "utf-8")
    return zensical("serve") if "serve" in sys.argv else zensical("build", "--clean", "--strict")


def zensical(command: str, *options: str) -> int:
    """Run Zensical on the copied pages and return its exit code."""
    program = [sys.executable, "-m", "zensical", command, "-f", str(BUILD / "zensical.toml")]
    return subprocess.run([*program, *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
