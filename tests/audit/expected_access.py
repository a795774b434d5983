"""Expected permissions, from plain sets that come only from the customers' table."""

from dataclasses import dataclass, field

from tests.catalog.seed_tables import fintoc_table

TABLE = {row.sentence: row.roles for row in fintoc_table()}


@dataclass
class ExpectedMember:
    """A person as the oracle knows them."""

    active: bool = True
    roles: set[str] = field(default_factory=set)
    teams: set[str] = field(default_factory=set)


@dataclass
class ExpectedAccess:
    """One organization; roles go by their names, actions by the table's sentences."""

    people: dict[str, ExpectedMember] = field(default_factory=dict)
    teams: dict[str, set[str]] = field(default_factory=dict)
    custom: dict[str, set[str]] = field(default_factory=dict)
    """The custom roles, each with the sentences of the actions it allows."""

    def allowed(self, person: str) -> set[str]:
        """All sentences of the table that are true for a person."""
        somebody = self.people[person]
        if not somebody.active:
            return set()
        roles = somebody.roles.union(*(self.teams[team] for team in somebody.teams))
        own = set().union(*(self.custom[role] for role in roles if role in self.custom))
        return {sentence for sentence, having in TABLE.items() if roles & having} | own

    def who(self, sentence: str) -> set[str]:
        """All people that a sentence is true of."""
        return {person for person in self.people if sentence in self.allowed(person)}
