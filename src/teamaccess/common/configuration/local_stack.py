"""Read the files that `teamaccess dev` writes for other commands."""

import json
from pathlib import Path
from typing import Any

from teamaccess.common.errors import Invalid
from teamaccess.common.sentences.excerpts import LONGEST_LOCAL_QUOTE


class UnreadableStack(Invalid):
    """A file of the local stack is damaged, or another program wrote it."""

    message = "{file} does not describe a stack: {cause}. {cure}."
    longest_quote = LONGEST_LOCAL_QUOTE


def read_local_stack(home: Path) -> dict[str, Any]:
    """Return the settings of the stack in `home`, none if there is no stack. Raises UnreadableStack."""
    try:
        stack = _Document(home / "dev.json", "Start `teamaccess dev` again, which writes it")
        secrets = _Document(
            home / "secrets.json", "Restore it, or erase the home with `teamaccess dev --fresh`"
        )
    except FileNotFoundError:
        return {}
    return {
        "catalog": stack.text("catalog"),
        "database_url": stack.text("database_url"),
        "public_url": stack.text("api"),
        "secret_key": secrets.text("secret_key"),
        "spicedb_endpoint": stack.text("spicedb", "endpoint"),
        "spicedb_preshared_key": stack.text("spicedb", "preshared_key"),
        "sandbox_endpoint": stack.text("sandbox", "endpoint") if stack.has("sandbox") else None,
    }


class _Document:
    """A JSON object in a file. No message quotes its values, because they contain secrets."""

    def __init__(self, file: Path, cure: str) -> None:
        self._file, self._cure = file, cure
        try:
            self._content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise self._unreadable("it is not JSON") from None

    def has(self, key: str) -> bool:
        return isinstance(self._content, dict) and key in self._content

    def text(self, *keys: str) -> str:
        """Return the text at these keys. Raises UnreadableStack."""
        value = self._content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, str):
            raise self._unreadable(f"it has no text `{'.'.join(keys)}`")
        return value

    def _unreadable(self, cause: str) -> UnreadableStack:
        return UnreadableStack(file=self._file, cause=cause, cure=self._cure)
