"""Find the values that a parameter or a body's field may have, to name them when another is refused."""

import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPI, Reference, Schema

STEP = re.compile(r"\.(?P<field>[^.\[]+)|(?P<item>\[(?:\.\.\.|\d+)\])")
MOST_NAMED = 40
"""How many allowed values a message names."""

Types = list[msgspec.inspect.Type]


def allowed_in_body(body: Any, place: str) -> list[str]:
    """Return the texts that a body of this type may have at a place such as `roles[...].level`."""
    steps = STEP.finditer(f".{place}" if place and not place.startswith("[") else place)
    types = reduce(_below, steps, list(_alternatives(msgspec.inspect.type_info(body))))
    return list(dict.fromkeys(text for each in types for text in _texts(each)))


def allowed_in_query(schema: Any, document: OpenAPI) -> list[str]:
    """Return the texts that a parameter with this OpenAPI schema may have, none if it takes any."""
    if isinstance(schema, Reference):
        schemas = document.components.schemas or {}
        return allowed_in_query(schemas.get(schema.ref.rpartition("/")[2]), document)
    if not isinstance(schema, Schema):
        return []
    if schema.enum:
        return [str(each) for each in schema.enum if each is not None]
    return [
        text
        for each in (*(schema.one_of or ()), *(schema.all_of or ()))
        for text in allowed_in_query(each, document)
    ]


def one_of(texts: list[str]) -> str:
    """Return the sentence that names the allowed texts, or nothing if there are none or too many."""
    return f" Use one of: {', '.join(texts)}." if 0 < len(texts) <= MOST_NAMED else ""


def _alternatives(type: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    match type:
        case msgspec.inspect.UnionType():
            for each in type.types:
                yield from _alternatives(each)
        case msgspec.inspect.Metadata():
            yield from _alternatives(type.type)
        case _:
            yield type


def _below(types: Types, step: re.Match[str]) -> Types:
    """Return the possible types of a field, or of the items of a list."""
    found: Types = []
    for type in types:
        match type:
            case msgspec.inspect.StructType() if step["field"]:
                if type.tag_field == step["field"]:
                    found.append(msgspec.inspect.LiteralType((type.tag,)))
                found += [
                    alternative
                    for field in type.fields
                    if field.encode_name == step["field"]
                    for alternative in _alternatives(field.type)
                ]
            case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType() if step["item"]:
                found += _alternatives(type.item_type)
            case _:
                pass
    return found


def _texts(type: msgspec.inspect.Type) -> Iterator[str]:
    match type:
        case msgspec.inspect.EnumType():
            yield from (str(each.value) for each in type.cls)
        case msgspec.inspect.LiteralType():
            yield from (each for each in type.values if isinstance(each, str))
        case _:
            pass
