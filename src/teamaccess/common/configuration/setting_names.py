"""Refuse environment variables that look like settings and are none, such as a misspelled name."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

from teamaccess.common.errors import Invalid
from teamaccess.common.sentences.excerpts import LONGEST_LOCAL_QUOTE

OF_KUBERNETES = re.compile(
    r"TEAMACCESS_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)"
)
"""Variables that Kubernetes sets in each pod for a Service called `teamaccess` or `teamaccess-...`."""

PROJECT_VARIABLES = frozenset(
    {
        "TEAMACCESS_COALITION",
        "TEAMACCESS_COALITION_SEED",
        "TEAMACCESS_COALITION_SHRINK",
        "TEAMACCESS_HISTORIES",
        "TEAMACCESS_NO_SKIPS",
        "TEAMACCESS_ORGANIZATIONS",
        "TEAMACCESS_SCHEDULES",
        "TEAMACCESS_SEED",
        "TEAMACCESS_STORM",
    }
)
"""Variables of the project's tests and benchmarks. A developer's shell has them beside the settings."""


class UnknownSetting(Invalid):
    """An environment variable begins with TEAMACCESS_ and is not a setting."""

    message = "These environment variables are not settings: {unknown}. Correct or remove them."
    longest_quote = LONGEST_LOCAL_QUOTE


def refuse_unknown_names(prefix: str, names: Iterable[str]) -> None:
    """Raise UnknownSetting if the environment has a variable with this prefix and no name of `names`.

    An ignored name would leave the default in force, and the operator would not notice.
    """
    known = {name.upper() for name in names}
    unknown = [
        name + _suggestion(prefix, name.upper().removeprefix(prefix), known)
        for name in sorted(os.environ)
        if name.upper().startswith(prefix)
        and name.upper().removeprefix(prefix) not in known
        and name.upper() not in PROJECT_VARIABLES
        and not OF_KUBERNETES.fullmatch(name.upper())
    ]
    if unknown:
        raise UnknownSetting(unknown=unknown)


def _suggestion(prefix: str, name: str, known: set[str]) -> str:
    words = set(name.split("_"))
    similar = (
        get_close_matches(name, known, n=1, cutoff=0.85)
        or sorted(each for each in known if words <= set(each.split("_")))
        or get_close_matches(name, known, n=1, cutoff=0.6)
    )
    return f" (did you mean {prefix}{similar[0]}?)" if similar else ""
