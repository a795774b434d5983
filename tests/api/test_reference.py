"""The OpenAPI document as people read it: tags, ids, summaries and examples of every operation."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonschema_rs
import pytest

from teamaccess.api.description import document_of
from teamaccess.api.examples import EXAMPLES
from tests.api.requests import described_application

DOCUMENT = document_of(described_application())
METHODS = ("get", "put", "post", "patch", "delete")
READABLE = re.compile(
    r"(accept|approve|cancel|change|check|create|decline|delete|explain|get|invite|leave|list|make"
    r"|plan|put|reactivate|register|remove|rename|replace|request|resend|revoke|rotate|sign|suspend"
    r"|withdraw)(_[a-z]+)+"
)
"""A verb and its noun."""


class Operation(NamedTuple):
    """An operation of the document."""

    route: str
    described: dict[str, Any]


class Body(NamedTuple):
    """A JSON body that an operation takes or answers with."""

    name: str
    schema: dict[str, Any]
    media: dict[str, Any]


def operations() -> Iterator[Operation]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield Operation(f"{method.upper()} {path}", item[method])


def bodies() -> Iterator[Body]:
    for _, operation in operations():
        id = operation["operationId"]
        for media in operation.get("requestBody", {}).get("content", {}).values():
            yield Body(f"{id} request", media["schema"], media)
        for status, response in operation["responses"].items():
            for media in response.get("content", {}).values() if status.startswith("2") else ():
                yield Body(f"{id} {status}", media["schema"], media)


OPERATIONS = list(operations())
BODIES = list(bodies())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.route)
def test_an_operation_has_one_tag_a_readable_id_a_summary_and_a_description(
    operation: Operation,
) -> None:
    described = operation.described
    assert len(described["tags"]) == 1
    assert described["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert READABLE.fullmatch(described["operationId"])
    assert " " in described["summary"]
    assert described["description"]


def test_ids_are_unique() -> None:
    ids = [each.described["operationId"] for each in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_every_tag_has_a_description_and_operations() -> None:
    used = {each.described["tags"][0] for each in OPERATIONS}
    assert used == {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}


@pytest.mark.parametrize("body", BODIES, ids=lambda each: each.name)
def test_a_body_has_an_example_that_its_schema_accepts(body: Body) -> None:
    assert "example" in body.media
    schema = {**body.schema, "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    problems = [
        f"{each.instance_path}: {each.message}"
        for each in validator.iter_errors(body.media["example"])
    ]
    assert problems == []


def test_every_example_belongs_to_a_body() -> None:
    described = {f"{id} {part}" for id, parts in EXAMPLES.items() for part in parts}
    used = {
        f"{body.name.split()[0]} {'request' if body.name.endswith('request') else 'response'}"
        for body in BODIES
    }
    assert described == used
