"""The reference page of the kinds of events, made from their classes.

`python -m docsite.events` writes it.
"""

import types
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import UnsetType, structs

from teamaccess.changes.events import (
    EventDetails,
    EventKind,
    members,
    organizations,
    resources,
    roles,
    service_accounts,
    users,
)

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "events.md"

SECTIONS: Final = {
    "Organizations and SpiceDB": organizations,
    "Members, invitations and access requests": members,
    "Custom roles and teams": roles,
    "Resources and grants": resources,
    "Service accounts": service_accounts,
    "Users, sign-ins and refusals": users,
}

INTRODUCTION: Final = """\
# Events

An event records what somebody did or was refused. Each organization has
[a chain of events](../explanation/ledger-chains.md) in the table `events`. Events that belong to no
organization are in the chain `-`. Events are never changed or deleted.

Each event also has:

| column | meaning |
| --- | --- |
| `actor` | the user, service account or operator that caused it, or `system` |
| `channel` | the way that the request took, for example `api` or `operator` |
| `request_id` | the `X-Request-Id` of the request |
| `reason_hash` | the hash of the reason, if one was given; the text is in the table `reasons` |
| `occurred_at` | the time of PostgreSQL |

The column **subject** below is the type in front of the id, for example `user:usr_1`. The column
**details** lists the keys of `details`. Times are ISO 8601 with an offset. PostgreSQL adds the key
`attests` to events about [attested rows](../decisions/0006-what-the-role-can-do.md).

<!-- `.venv/bin/python -m docsite.events` writes this page from src/teamaccess/changes/events. -->
"""

OTHER_SUBJECTS: Final = {
    EventKind.TOKEN_ISSUED: "`user` or `operator`",
    EventKind.REFUSED: "none",
    EventKind.SIGN_IN_REFUSED: "none",
    **dict.fromkeys(
        [
            EventKind.RESOURCE_REGISTERED,
            EventKind.RESOURCE_REMOVED,
            EventKind.GRANTS_CHANGED,
            EventKind.GRANT_ENDED,
        ],
        "the resource, as `type:organization/id`",
    ),
}
"""Subjects that have not one type."""

NAMES: Final[dict[Any, str]] = {
    Any: "any value",
    bool: "true or false",
    datetime: "time",
    int: "number",
    str: "text",
    type(None): "null",
}


def page() -> str:
    """Return the page."""
    return "\n".join(
        [INTRODUCTION, *(_section(title, module) for title, module in SECTIONS.items())]
    )


def kinds_of(module: types.ModuleType) -> list[type[EventDetails]]:
    """Return the details classes of a module, in its order."""
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, EventDetails)
        and each.__module__ == module.__name__
        and "kind" in vars(each)
    ]


def _section(title: str, module: types.ModuleType) -> str:
    head = ["| kind | recorded when | subject | details |", "| --- | --- | --- | --- |"]
    rows = [_row(each) for each in kinds_of(module)]
    return "\n".join([f"## {title}", "", *head, *rows, ""])


def _row(details: type[EventDetails]) -> str:
    when = " ".join((details.__doc__ or "").split())
    hints = get_type_hints(details)
    fields = [f"`{each.name}`: {type_name(hints[each.name])}" for each in structs.fields(details)]
    cells = [f"`{details.kind}`", when, subject_of(details), "<br>".join(fields) or "none"]
    return f"| {' | '.join(cells)} |"


def subject_of(details: type[EventDetails]) -> str:
    """Return the type of the subject."""
    return OTHER_SUBJECTS.get(details.kind) or f"`{details.subject}`"


def type_name(hint: Any) -> str:
    """Return the words for a type, such as `list of role ids`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is list:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"object of {type_name(arguments[1])} by {type_name(arguments[0])}"
    return NAMES.get(hint) or _spaced(hint.__name__)


def _union(arguments: tuple[Any, ...]) -> str:
    named = " or ".join(type_name(each) for each in arguments if each is not UnsetType)
    return f"{named}, optional" if UnsetType in arguments else named


def _spaced(name: str) -> str:
    """Return `role id` for `RoleId`."""
    return "".join(f" {each.lower()}" if each.isupper() else each for each in name).strip()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
