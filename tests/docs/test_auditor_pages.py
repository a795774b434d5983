"""The how-to pages for auditors are true: the test runs their commands and compares the output."""

import re
from pathlib import Path

from teamaccess.views.tables import BYTE_ORDER_MARK
from tests.support.command_line import Run
from tests.support.organization import Organization
from tests.support.people import Person

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```console audit\n\$ teamaccess (.*)\n((?:.*\n)*?)```$", re.MULTILINE)

NAMES_ON_PAGES = {"ana@": "ada@", "operator:tests": "operator:ines"}
"""From the names of the test to those on the pages."""

# text that differs between runs, as it is on a page and in a real answer
CHANGING = [
    (re.compile(r"\busr_[0-9a-f]{20}\b"), "usr_ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00"), "TIME"),
    (re.compile(r"position \d+ \([0-9a-f]{12}\)"), "position POSITION (HASH)"),
    (re.compile(r"\bposition \d+"), "position POSITION"),
    (re.compile(r"\bfintoc-[0-9a-f]{12}\b"), "fintoc-VERSION"),
]


async def test_the_commands_print_what_the_pages_show(run: Run, acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    who_can, yes, no = blocks("find-out-who-can.md") + blocks("explain-access.md")

    await assert_prints(run, acme, who_can)
    await assert_prints(run, acme, yes)
    await move(acme, bob)
    await assert_prints(run, acme, no)


async def move(acme: Organization, bob: Person) -> None:
    """Give Bob another role, with the reason that the page shows."""
    moved = await acme.administrator.ask(
        "PUT",
        f"{acme.path}/members/{bob.id}/roles",
        json={"roles": [{"role": "product"}], "reason": "moved to the product team"},
    )
    assert moved.status_code == 200, moved.text


async def assert_prints(run: Run, acme: Organization, block: tuple[str, str]) -> None:
    """Assert that a command prints what its page shows."""
    command, promised = block
    words = [word.replace("acme", acme.id) for word in command.split()]
    printed = (await run(*words)).stdout.replace(acme.id, "acme").removeprefix(BYTE_ORDER_MARK)
    for name, name_on_page in NAMES_ON_PAGES.items():
        printed = printed.replace(name, name_on_page)
    lines, expected = comparable_lines(printed), comparable_lines(promised)
    if "--csv" in words:  # in the order of ids, which are random
        lines, expected = sorted(lines), sorted(expected)
    assert lines == expected


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page, each with the output that the page promises."""
    found: list[tuple[str, str]] = BLOCK.findall((HOW_TO / page).read_text(encoding="utf-8"))
    return found


def comparable_lines(text: str) -> list[str]:
    """The lines of the text, without what differs between runs."""
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return text.splitlines()
