"""The reference pages are complete, and their figures are the product's."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefined

import teamaccess
from teamaccess.api.requests import pages, receiving
from teamaccess.api.server import limits as server_limits
from teamaccess.api.server.refusals import ConnectionRefusal
from teamaccess.audit.plans import held_actions, plan, proposals
from teamaccess.audit.remedies import rehearsals, remedies
from teamaccess.audit.state import queue as audit_queue
from teamaccess.audit.state import sandboxes
from teamaccess.catalog import errors as catalog_errors
from teamaccess.catalog import reader
from teamaccess.changes import change_queue, opening, time_limit
from teamaccess.cli.main import COMMANDS, app
from teamaccess.common import text
from teamaccess.common.configuration.limits import Limits
from teamaccess.common.configuration.settings import Settings
from teamaccess.common.errors import TeamaccessError, TooMany
from teamaccess.common.sentences import excerpts
from teamaccess.directory.access_requests.ask import AskedTooOften
from teamaccess.directory.users import addresses, tokens
from teamaccess.ledger import session as ledger_session
from teamaccess.upkeep.reconciliation import DEFAULT_MOST_DELETES
from teamaccess.views import checks
from teamaccess.views.directory import resources

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
LIMITS = (REFERENCE / "limits.md").read_text()
KIB = 1024


def cells(page: str) -> Iterator[list[str]]:
    """Yield the cells of every row of every table of a page."""
    for row in re.findall(r"^\| (.*) \|$", page, re.MULTILINE):
        yield [cell.strip() for cell in row.split(" | ")]


def number(reported: str) -> float | None:
    """Return the number that a cell begins with."""
    found = re.match(r"[\d,]+", reported)
    return float(found[0].replace(",", "")) if found else None


def documented_settings() -> dict[str, str]:
    """Return the default that the page on settings gives for each setting."""
    rows = cells((REFERENCE / "settings.md").read_text())
    return {name[0].strip("`").lower(): name[-1] for name in rows if name[0].startswith("`")}


def import_everything() -> None:
    for module in pkgutil.walk_packages(teamaccess.__path__, "teamaccess."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            import_module(module.name)


def subclasses(family: type[TeamaccessError]) -> set[type[TeamaccessError]]:
    found = set(family.__subclasses__())
    return found.union(*map(subclasses, found))


def test_the_settings_page_has_every_setting() -> None:
    assert documented_settings().keys() == Settings.model_fields.keys() - {"limits"}


@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - {"limits"}))
def test_the_settings_page_has_the_default(name: str) -> None:
    field, reported = Settings.model_fields[name], documented_settings()[name]
    default: Any = field.default
    if default is PydanticUndefined:
        assert reported == "required"
    elif isinstance(default, bool):
        assert reported == f"`{str(default).lower()}`"
    elif isinstance(default, int | float):
        assert number(reported) == default
    elif default is None:
        assert reported.startswith(("none", "half of `CONNECTIONS`"))
    else:
        assert reported == f"`{default}`"


def test_the_limits_page_has_every_limit_setting() -> None:
    named = set(re.findall(r"^\| `LIMIT_([A-Z_]+)` \|", LIMITS, re.MULTILINE))
    assert {name.lower() for name in named} == Limits.model_fields.keys()
    settings = {name for name in Settings.model_fields if re.match("request|conn|refusals", name)}
    timeouts = {name for name in Settings.model_fields if name.endswith("_seconds")}
    for name in settings | timeouts | {"unknown_per_second"}:
        assert f"`{name.upper()}`" in LIMITS


def test_the_limits_page_has_the_code_of_every_limit() -> None:
    import_everything()
    limits = subclasses(TooMany) | subclasses(ConnectionRefusal)
    assert AskedTooOften in limits
    codes = {re.sub(r"(?<!^)(?=[A-Z])", "_", each.__name__).lower() for each in limits}
    assert {code for code in codes if f"`{code}`" not in LIMITS} == set()


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("changes of one caller that wait", change_queue.MOST_WAITING),
        ("seconds that a change waits for its turn", change_queue.PATIENCE_SECONDS),
        ("seconds that a change waits until SpiceDB", opening.PATIENCE_SECONDS),
        ("seconds that a large question", audit_queue.PATIENCE_SECONDS),
        ("seconds that a plan or its changes", time_limit.LONGEST_SECONDS),
        ("seconds that a plan may take", plan.LONGEST_ANSWER_SECONDS),
        ("groups of objects in a plan", held_actions.MOST_GROUPS),
        ("relationships of an organization in a sandbox", sandboxes.MOST_RELATIONSHIPS),
        ("rehearsals for one question", rehearsals.MOST_PER_QUESTION),
        ("remedies in one answer", remedies.MOST_REMEDIES),
        ("items of a page", pages.LONGEST_PAGE),
        ("questions in", checks.MOST_CHECKS),
        ("objects in", resources.MOST_OPERATIONS),
        ("grants on one object", resources.MOST_GRANTS),
        ("changes in a plan", proposals.MOST_CHANGES),
        ("characters of a name", text.LONGEST_NAME),
        ("characters of a reason", text.LONGEST_REASON),
        ("bytes of an e-mail address", addresses.LONGEST),
        ("characters of text that a refusal quotes", excerpts.LONGEST_QUOTE),
        ("entries of a list that a refusal quotes", excerpts.MOST_LISTED),
        ("hours that our own access tokens live", tokens.LONGEST_LIFE.total_seconds() / 3600),
        ("path and query", server_limits.TARGET_BYTES / KIB),
        ("all headers together", server_limits.HEADER_BYTES / KIB),
        ("number of headers", server_limits.HEADER_COUNT),
        ("body, with", receiving.LARGEST_BODY / KIB),
        ("body of", receiving.LARGEST_BATCH / KIB),
        ("requests sent ahead", server_limits.WAITING_REQUESTS),
        ("relationships that `reconcile --apply` deletes", DEFAULT_MOST_DELETES),
        ("mistakes that a refused catalog lists", catalog_errors.MOST_MISTAKES),
        ("levels of nesting in a catalog", reader.MAX_DEPTH),
    ],
)
def test_the_limits_page_has_the_value(limit: str, value: float) -> None:
    (row,) = [row for row in cells(LIMITS) if row[0].startswith(limit)]
    assert number(row[1]) == value


def test_the_limits_page_has_the_updates_of_an_entry() -> None:
    assert f"has at most {ledger_session.MAX_UPDATES_OF_ONE_SUBJECT}:" in LIMITS
    assert f"with more than {ledger_session.UPDATES_PER_POSITION} " in LIMITS
    assert f"{reader.LONGEST_DAYS:,} days" in LIMITS


def test_the_metrics_page_has_every_metric() -> None:
    import_everything()
    documented = set(re.findall(r"`(teamaccess_\w+)", (REFERENCE / "metrics.md").read_text()))
    exported = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("teamaccess_")
    }
    assert len(exported) >= 8
    assert exported - documented == set()


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that is not a group, with its full name."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name in COMMANDS if path == "teamaccess" else command.commands:
        yield from commands(command.get_command(None, name), f"{path} {name}")


def test_the_commands_page_has_every_command_with_its_options() -> None:
    rows = {row[0].strip("`"): row[-1] for row in cells((REFERENCE / "commands.md").read_text())}
    for name, command in commands(typer.main.get_command(app), "teamaccess"):
        (options,) = [rows[row] for row in rows if re.fullmatch(rf"{name}( [A-Z\[].*)?", row)]
        known = {option for each in command.params for option in each.opts if option[:2] == "--"}
        assert set(re.findall(r"--[a-z-]+", options)) == known - {"--help"}, name
