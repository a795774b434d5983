"""Refuse an option that is given twice and takes one value. Typer would use the last one."""

from collections import Counter
from typing import Any


def refuse_repeated_options(command: Any) -> None:
    """Make the command refuse `--at A --at B`. Flags, and options of several values, stay as they are."""
    parse = command.parse_args

    def parse_once(context: Any, words: list[str]) -> list[str]:
        _, _, given = command.make_parser(context).parse_args(args=list(words))
        for option, count in Counter(given).items():
            if count > 1 and not option.multiple and not getattr(option, "is_flag", False):
                context.fail(f"The option {option.opts[-1]} is given {count} times. Give it once.")
        parsed: list[str] = parse(context, words)
        return parsed

    command.parse_args = parse_once
