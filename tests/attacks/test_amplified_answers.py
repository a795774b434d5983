"""No request makes an answer that is much larger than itself, whatever is wrong with it."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from teamaccess.catalog import InvalidCatalog, find_catalog_file, read_catalog
from teamaccess.catalog.errors import LONGEST_MESSAGE, MOST_MISTAKES
from teamaccess.common.errors import Invalid
from teamaccess.common.sentences.excerpts import LONGEST_QUOTE, MOST_LISTED, suggest_names
from tests.api.requests import VALID_REQUESTS, RequestTargets, Route, routes
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused

BODY = 60_000
"""Bytes of a hostile body; 64 KiB are the most that a route takes."""
TEXT = 44_000
"""Characters of a hostile catalog, whose lines take more in a body."""
LARGEST_ANSWER = 64 * 1024
LONGEST_SECONDS = 10.0
"""How long a refusal may take on a busy machine. Before the fix, the work took minutes."""
PLANS = Route("POST", "/v1/organizations/{organization}/audit/plan")
WRITES = sorted((route for route in routes() if VALID_REQUESTS[route].body is not None), key=str)


def lines(template: str, head: str = "", tail: str = "", size: int = TEXT) -> str:
    """As many numbered lines as fit."""
    made, length = [head], len(head) + len(tail)
    while length < size - len(template) - 8:
        made.append(template.format(n=f"{len(made):x}"))
        length += len(made[-1])
    return "".join([*made, tail])


HEAD = "administrator: owner\nresources:\n  r:\n    label: R\n    actions:\n"
CATALOGS = {
    "unknown roles": lines(
        "      v{n}: {{roles: [x{n}]}}\n", lines("  r{n}: a\n", "roles:\n", size=20_000) + HEAD
    ),
    "many roles": lines("  r{n}: {{}}\n", "roles:\n"),
    "roles and actions": lines(
        "      v{n}: {{}}\n", lines("  r{n}: {{}}\n", "roles:\n", size=30_000) + HEAD
    ),
    "one long list": lines("r{n},", "roles: {}\n" + HEAD + "      v: {roles: [", "]}"),
    "the same role again": lines("a,", "roles: {}\n" + HEAD + "      v: {roles: [", "]}"),
    "unknown keys": lines("k{n}: 1\n"),
    "one key again": lines("key: 1\n"),
    "no texts": lines("{n}: 1\n"),
    "a long key": "roles:\n  ? "
    + "k" * (TEXT // 2)
    + "\n  :\n"
    + lines("    k{n}: 1\n", size=TEXT // 2),
    "a long resource": (
        "roles:\n  owner: {}\nadministrator: owner\nresources:\n  ? "
        + "r" * (TEXT // 2)
        + "\n  :\n    actions:\n"
        + lines("      v{n}: {{}}\n", size=TEXT // 2)
    ),
    "a long administrator": (
        "administrator: "
        + "o" * (TEXT // 2)
        + "\nresources:\n  r:\n    actions:\n"
        + lines("      v{n}: {{roles: []}}\n", size=TEXT // 2)
    ),
    "aliases": lines("- *a{n}\n"),
    "a bomb": "a: &a [x, x]\n" + lines("b{n}: &b{n} [*a, *a, *a, *a]\n"),
    "deep": "[" * (TEXT // 2) + "]" * (TEXT // 2),
    "one word": "x" * TEXT,
    "a long value": "roles: " + "y" * TEXT,
    "not YAML": "%" * TEXT,
    "an unknown tag": "!<" + "t" * TEXT + "> x",
    "a huge number": "longest_days: " + "9" * TEXT,
    "types": lines("  t{n}: {{actions: {{v: nothing_{n}}}}}\n", "types:\n"),
}


@pytest.mark.parametrize("text", CATALOGS.values(), ids=CATALOGS)
def test_a_hostile_catalog_is_refused_quickly_with_a_short_answer(text: str) -> None:
    begun = time.monotonic()
    with pytest.raises(InvalidCatalog) as invalid:
        read_catalog(text, "hostile")
    assert time.monotonic() - begun < LONGEST_SECONDS
    assert len(invalid.value.mistakes) <= MOST_MISTAKES
    assert all(len(each.message) <= LONGEST_MESSAGE for each in invalid.value.mistakes)
    assert len(str(invalid.value)) < LARGEST_ANSWER


def test_omitted_mistakes_are_counted() -> None:
    with pytest.raises(InvalidCatalog) as invalid:
        read_catalog(CATALOGS["unknown keys"], "hostile")
    keys = CATALOGS["unknown keys"].count("\n")
    assert len(invalid.value.mistakes) == MOST_MISTAKES
    assert invalid.value.left_out >= keys - MOST_MISTAKES
    assert str(invalid.value).endswith(f"and {invalid.value.left_out} more")


@pytest.mark.parametrize("name", CATALOGS)
async def test_a_plan_with_a_hostile_catalog_gets_a_short_answer(
    acme: Organization, name: str
) -> None:
    begun = time.monotonic()
    answer = await acme.administrator.ask(
        "POST", f"{acme.path}/audit/plan", json={"catalog": CATALOGS[name]}
    )
    refused(answer, 400, "bad_catalog")
    assert len(answer.content) < LARGEST_ANSWER
    assert time.monotonic() - begun < LONGEST_SECONDS


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    many = [f"role_{number}" for number in range(5000)]
    assert suggest_names("clark", ["owner", "clerk"]) == "known are owner, clerk"
    assert suggest_names("suport", [*many, "support"]) == "did you mean support?"
    assert suggest_names("zebra", many).endswith("and 4995 more")
    assert len(suggest_names("x" * BODY, ["y" * BODY] * 5000)) < 1000


def hostile(good: Any) -> Iterator[bytes]:
    """Yield bodies in which one text or list is as long as a body may be."""
    for bad in ("x" * BODY, "\x01" * (BODY // 6), "😀" * (BODY // 4), ["r"] * (BODY // 5)):
        for body in replaced(good, bad):
            yield json.dumps(body, ensure_ascii=False).encode()[:65_000]
    yield json.dumps({"x" * BODY: 1}).encode()
    yield json.dumps({f"k{number}": number for number in range(BODY // 14)}).encode()
    yield b"9" * BODY
    yield b"[" * BODY
    yield b'{"a":' * (BODY // 5)
    yield b"\xff" * BODY


def replaced(good: Any, bad: Any) -> Iterator[Any]:
    """Yield the value with each part of it replaced in its turn."""
    yield bad
    if isinstance(good, dict):
        for key, value in good.items():
            yield from ({**good, key: each} for each in replaced(value, bad))
    if isinstance(good, list) and good:
        yield from ([each] for each in replaced(good[0], bad))
        yield [f"{number}" for number in range(BODY // 10)]


@pytest.mark.parametrize("route", WRITES, ids=str)
async def test_an_answer_to_a_hostile_body_is_not_longer_than_the_body(
    fintoc: Deployment, route: Route
) -> None:
    targets = await RequestTargets.create(await fintoc.create_organization("acme"))
    by = targets.organization.administrator
    if VALID_REQUESTS[route].operators:
        by = await fintoc.operator_person()
    headers = {"Content-Type": "application/json"}
    for body in hostile(targets.body(route)):
        begun = time.monotonic()
        answer = await targets.ask(route, by, json=None, content=body, headers=headers)
        reported = f"{body[:80]!r}: {answer.text[:300]}"
        assert 400 <= answer.status_code < 500, reported
        assert len(answer.content) < LONGEST_QUOTE * 20, reported
        assert time.monotonic() - begun < LONGEST_SECONDS


async def test_queries_paths_and_tokens_are_not_echoed_at_length(acme: Organization) -> None:
    ana, long = acme.administrator, "x" * 8000
    for path in (
        f"/v1/organizations/{long}/members",
        f"{acme.path}/members/{long}",
        f"{acme.path}/members?status={long}",
        f"{acme.path}/members?{long}=1",
        f"{acme.path}/members?cursor={long}",
        f"{acme.path}/members?limit={'9' * 5000}",
        f"{acme.path}/roles/{long}",
        f"{acme.path}/audit/who-can?action={long}",
    ):
        answer = await ana.ask("GET", path)
        assert 400 <= answer.status_code < 500, answer.text[:300]
        assert len(answer.content) < 3000, answer.text[:300]
    ana.token = f"{long}.{long}.{long}"
    assert len((await ana.ask("GET", "/v1/me")).content) < 3000


def test_every_refusal_shortens_what_it_quotes() -> None:
    class Quoting(Invalid):
        message = "This is wrong: {text!r}, {names}, {number}, {table}."

    refusal = Quoting(
        text="x" * BODY, names=["n" * BODY] * BODY, number=10**5000, table={"k" * BODY: "v" * BODY}
    )
    assert refusal.facts["names_left_out"] == BODY - MOST_LISTED
    assert f"and {BODY - MOST_LISTED} more" in refusal.detail
    assert len(json.dumps(refusal.facts)) < LARGEST_ANSWER
    assert len(refusal.detail) < LARGEST_ANSWER


async def test_the_event_of_a_refusal_is_short(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await asyncio.gather(*(acme.invite("x" * 200, ["support"], by=bob) for _ in range(3)))
    assert all(len(json.dumps(each.details)) < 2000 for each in await acme.events())


@pytest.mark.parametrize("name", ["fintoc", "finicom"])
def test_the_delivered_catalogs_are_within_the_limits(name: str) -> None:
    assert read_catalog(find_catalog_file(name).read_text(), name).name == name
