"""A SpiceDB schema as values: definitions, their relations and permissions, and their text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubjectType:
    """A kind of subject that a relation may have: `team#member with expiration`."""

    type: str
    relation: str | None = None
    expires: bool = False

    def __str__(self) -> str:
        relation = "" if self.relation is None else f"#{self.relation}"
        return f"{self.type}{relation}{' with expiration' if self.expires else ''}"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation: relationships of it are written to SpiceDB."""

    name: str
    subjects: tuple[SubjectType, ...]
    about: str = ""

    def __str__(self) -> str:
        return f"relation {self.name}: {' | '.join(map(str, self.subjects))}"


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission: SpiceDB computes it from relations."""

    name: str
    expression: str
    about: str = ""

    def __str__(self) -> str:
        return f"permission {self.name} = {self.expression}"


@dataclass(frozen=True, slots=True)
class Definition:
    """An object type. Blank lines separate the groups of its relations and permissions."""

    name: str
    about: str
    groups: Sequence[Sequence[Relation | Permission]] = ()

    def __str__(self) -> str:
        head = f"// {self.about}\ndefinition {self.name} {{"
        body = "\n\n".join("\n".join(map(_member, group)) for group in self.groups if group)
        return f"{head}\n{body}\n}}" if body else f"{head}}}"

    @property
    def meaning(self) -> str:
        """The definition without comments: all that SpiceDB evaluates."""
        members = [str(member) for group in self.groups for member in group]
        return "\n".join([f"definition {self.name}", *members])

    def relations(self) -> Iterator[Relation]:
        """Yield the relations."""
        for group in self.groups:
            yield from (member for member in group if isinstance(member, Relation))


def _member(member: Relation | Permission) -> str:
    comment = f"  // {member.about}\n" if member.about else ""
    return f"{comment}  {member}"
