"""A small catalog with one of everything, and ways to get it wrong."""

from pathlib import Path

from teamaccess.catalog import InvalidCatalog, read_catalog

HERE = Path(__file__).parent
SMALL = (HERE / "small.yaml").read_text(encoding="utf-8")

VIEW = "resources.payments.actions.view"
APPROVE = "resources.payments.actions.approve"


def mistakes(text: str, name: str = "small") -> list[str]:
    """Return everything that is wrong with a catalog, as `line: message`."""
    try:
        read_catalog(text, name)
    except InvalidCatalog as invalid:
        return [f"{mistake.line}: {mistake.message}" for mistake in invalid.mistakes]
    return []


def with_line(number: int, line: str, *more: str) -> str:
    """Return the small catalog with the line of that number replaced."""
    lines = SMALL.splitlines()
    indent = " " * (len(lines[number - 1]) - len(lines[number - 1].lstrip()))
    lines[number - 1 : number] = [indent + each for each in (line, *more)]
    return "\n".join(lines)


def with_role(role: str) -> str:
    return with_line(5, "roles:", f"  {role}: {{name: R, description: D, granted_by: dashboard}}")


def with_resource(resource: str, *actions: str) -> str:
    facts = "description: Do it, level: manage, source: table, roles: [clerk]"
    return with_line(
        16,
        "resources:",
        f"  {resource}:",
        "    label: L",
        "    actions:",
        *(f"      {action}: {{{facts}}}" for action in actions),
    )
