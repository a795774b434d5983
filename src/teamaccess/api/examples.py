"""An example request and response for each operation, for the OpenAPI document.

`examples.json` has them by operation id. The responses came from a running service; names were changed
and long lists cut. The tests validate each against the schema of its body.
"""

import json
from importlib.resources import files
from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = json.loads(
    files("teamaccess.api").joinpath("examples.json").read_text("utf-8")
)


def add_examples(document: dict[str, Any]) -> None:
    """Give the bodies of a finished document their examples.

    Litestar leaves out every null when it makes the document, so examples cannot be added before.
    """
    for item in document["paths"].values():
        for operation in item.values():
            _add(operation, EXAMPLES.get(operation["operationId"], {}))


def _add(operation: dict[str, Any], examples: dict[str, Any]) -> None:
    if "request" in examples:
        for media in operation["requestBody"]["content"].values():
            media["example"] = examples["request"]
    if "response" in examples:
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                for media in response["content"].values():
                    media["example"] = examples["response"]
