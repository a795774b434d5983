"""The page of the HTTP API, made of the application's OpenAPI document.

The page is Markdown and not a viewer such as Redoc. So the site's search finds every operation, links to
it are checked, and it reads without JavaScript. `essentials-openapi` also writes Markdown, but its
command needs an older Rich than ours, and its page has 19,000 lines.
"""

import json
from pathlib import Path
from typing import Any

import jinja2
from pydantic import SecretStr

from teamaccess.api import create_app
from teamaccess.api.description import document_of
from teamaccess.common.configuration.settings import Settings

METHODS = ("get", "put", "post", "patch", "delete")


def page() -> str:
    """Return the page as Markdown."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - it writes Markdown, from our own document alone
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters.update(type=type_of, cell=cell, json=as_json, anchor=anchor)
    document = _document()
    return templates.get_template("http_api.md.jinja").render(
        tags=document["tags"],
        operations=_operations(document),
        types={
            name: _titled(name, schema)
            for name, schema in document["components"]["schemas"].items()
        },
    )


def type_of(schema: dict[str, Any]) -> str:
    """Return a JSON type in words, with links to the types that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{_title(name)}](#{anchor(name)})"
    if "oneOf" in schema:
        return " or ".join(type_of(each) for each in schema["oneOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if schema.get("type") == "array":
        return (
            f"list of {type_of(schema['items'])}{_limits(schema, 'minItems', 'maxItems', 'items')}"
        )
    kind = {"date-time": "time"}.get(schema.get("format", ""), schema.get("type", "anything"))
    length = _limits(schema, "minLength", "maxLength", "characters")
    return f"{kind}{length}{_limits(schema, 'minimum', 'maximum', '')}"


def _limits(schema: dict[str, Any], low: str, high: str, unit: str) -> str:
    if low not in schema and high not in schema:
        return ""
    if high not in schema:
        return f", at least {schema[low]} {unit}".rstrip()
    if low not in schema:
        return f", at most {schema[high]} {unit}".rstrip()
    return f", {schema[low]} to {schema[high]} {unit}".rstrip()


def cell(text: str) -> str:
    """Return a text as it can stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def as_json(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def anchor(name: str) -> str:
    """Return the anchor of a type."""
    return f"type-{_title(name)}".lower().replace("[", "-").rstrip("]")


def _title(name: str) -> str:
    """Return a type's name; generic ones are named after their modules in the document."""
    if name.endswith("_") and "." in name:
        return f"{name.partition('_')[0]}[{name.rstrip('_').rpartition('.')[2]}]"
    return name


def _titled(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": _title(name), **schema}


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "method": method.upper(),
            "path": path,
            "parameters": [],
            "body": _media(item[method].get("requestBody", {})),
            "answers": _answers(item[method]["responses"]),
            **item[method],
        }
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def _answers(responses: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"status": status, "description": each["description"], "media": _media(each)}
        for status, each in responses.items()
        if status != "default"
    ]


def _media(described: dict[str, Any]) -> dict[str, Any] | None:
    """Return what is sent as JSON: its schema and its example."""
    return next(iter(described.get("content", {}).values()), None)


def _document() -> dict[str, Any]:
    """Return the document of an application that nothing stands behind."""
    nowhere = Settings(
        database_url="postgresql://nowhere/none",
        spicedb_endpoint="127.0.0.1:1",
        spicedb_preshared_key=SecretStr("none"),
        secret_key=SecretStr("a secret of nobody"),
    )
    return document_of(create_app(nowhere))
