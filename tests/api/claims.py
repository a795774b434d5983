"""Variants of claims for parametrized tests, with test ids that are the same in every run."""

import time
from typing import Any

NOW = time.time()
NEAR = 86_400


def variants(claim: str, *values: Any) -> list[dict[str, Any]]:
    """One claim, with one of the values at a time."""
    return [{claim: value} for value in values]


def label(claims: dict[str, Any]) -> str:
    """The claims as text, times by their distance from now."""
    return ",".join(f"{claim}={_label(value)}" for claim, value in claims.items())


def _label(value: Any) -> str:
    if isinstance(value, float) and abs(value - NOW) < NEAR:
        return f"now{value - NOW:+.0f}"
    return repr(value)
