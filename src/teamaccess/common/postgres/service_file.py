"""Read libpq's connection service file (`service=...` in a URL)."""

import configparser
import os
from pathlib import Path


def read_service(service: str, file: str | None) -> dict[str, str]:
    """Return the parameters of a service.

    The file is the one that the URL names, else PGSERVICEFILE, else ~/.pg_service.conf. Raises
    ValueError if it has no such service.
    """
    path = Path(file or os.environ.get("PGSERVICEFILE") or _default_file())
    services = configparser.RawConfigParser(
        delimiters=("=",), comment_prefixes=("#",), default_section="\0none"
    )
    try:
        services.read_string(path.read_text())
    except OSError as error:
        raise ValueError(
            f"names a service, and its file {str(path)!r} can't be read ({error.strerror})"
        ) from None
    except (configparser.Error, UnicodeDecodeError):
        raise ValueError(f"names a service, and {str(path)!r} is not a service file") from None
    if not services.has_section(service):
        raise ValueError(f"names a service that {str(path)!r} does not have")
    return {name: value for name, value in services.items(service) if value}


def _default_file() -> Path:
    try:
        return Path.home() / ".pg_service.conf"
    except RuntimeError:
        raise ValueError(
            "names a service, and the user of this process has no home folder. Name the file in "
            "PGSERVICEFILE, or add servicefile=<file>"
        ) from None
