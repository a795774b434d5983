"""Choices for one request: mostly sensible, and often enough something that should not work."""

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from tests.attacks.coalition.relationship_effects import RelationshipEffects
from tests.attacks.coalition.scenario import KnownObject, Principal, Scenario
from tests.attacks.coalition.seeded_choices import SeededChoices
from tests.attacks.coalition.snapshots import OrganizationSnapshot

KINDS = {"user", "team", "role", "invitation", "access_request", "resource", "account", "api_token"}
KEYS = [f"key-{number}" for number in range(4)]
"""Few, so that principals and organizations use the same ones."""


class RequestChoices:
    """The choices of one request by one principal."""

    def __init__(self, scenario: Scenario, seeded: SeededChoices, now: datetime) -> None:
        self.scenario = scenario
        self.seeded = seeded
        self.by: Principal | None = None
        self.snapshot = OrganizationSnapshot()
        self._now = now
        self.catalog = scenario.deployment.service.catalog
        self._effects = RelationshipEffects(self.catalog)
        self.organization = self._organization()
        self.about: dict[str, Any] = {}
        """What was chosen, for recording the answer."""
        self._chosen: dict[str, KnownObject] = {}

    def ask_as(self, by: Principal, snapshot: OrganizationSnapshot) -> None:
        """Choose as a caller who knows what they hold."""
        self.by, self.snapshot = by, snapshot
        if by.account_of and self.seeded.chance(0.5):
            self.organization = by.account_of

    @property
    def held(self) -> frozenset[str]:
        """The actor's permissions in the organization."""
        return self.snapshot.of(self.by.id) if self.by is not None else frozenset()

    def url(self, path: str) -> str:
        """The path with its parameters filled in."""
        names = re.findall(r"{(\w+)}", path)
        return path.format(**{name: quote(self._parameter(name), safe=":") for name in names})

    def name(self, kind: str, new: bool = False) -> str:
        """An id for a path or a body: known here, known elsewhere, ended, or one that looks like it."""
        if new and self.seeded.chance(0.85):
            return f"{kind}_{self.about.setdefault('step', 0)}"
        known = self._known_object(kind)
        if known is None:
            return f"no_{kind}"
        self._chosen.setdefault(kind, known)
        return known.id if self.seeded.chance(0.96) else self._near(known.id)

    def user(self) -> str:
        """A user: a principal of any kind, sometimes the actor."""
        if self.by is not None and self.seeded.chance(0.12):
            return self.by.id
        return self.name("user")

    def role(self) -> str:
        """One of the catalog's roles, or of an organization's own."""
        own = [each.id for each in self.scenario.of("role", self.organization)]
        known = [*self.catalog.roles, *own]
        mine = [
            role
            for role in known
            if self._effects.of_roles(self.organization, [role], self.snapshot.graph) <= self.held
        ]
        if mine and self.seeded.chance(0.5):
            return self.seeded.pick(mine)
        if self.seeded.chance(0.45):
            return self.seeded.pick(list(self.catalog.roles))
        return self.name("role")

    def roles(self, most: int = 2) -> list[Any]:
        """A few roles, with or without expiry."""
        wanted = dict.fromkeys(self.role() for _ in range(self.seeded.number(1, most)))
        return [{"role": role, **self.end()} for role in wanted]

    def end(self) -> dict[str, str | None]:
        """An expiry: none, soon, late, past, beyond the catalog's limit, or left out."""
        if self.seeded.chance(0.5):
            return {}
        offset = self.seeded.weighted(
            {
                timedelta(seconds=2): 2,
                timedelta(hours=1): 4,
                timedelta(days=30): 4,
                timedelta(days=1800): 4,
                timedelta(days=4000): 1,
                timedelta(seconds=-5): 1,
            }
        )
        return {"expires_at": (self._now + offset).isoformat()}

    def until(self) -> dict[str, str | None]:
        """An expiry, or null."""
        return {"expires_at": None, **self.end()}

    def action(self) -> str:
        """One of the catalog's actions."""
        return self.seeded.pick(list(self.catalog.actions))

    def actions(self) -> list[Any]:
        """Actions for a role, sometimes all of a level, or those the actor would like best."""
        if self.seeded.chance(0.1):
            resource = self.seeded.pick(sorted({a.resource for a in self.catalog.actions.values()}))
            level = self.seeded.pick(["view", "manage", "authorize"])
            return [{"resource": resource, "level": level}]
        mine = [
            action.id
            for action in self.catalog.actions.values()
            if f"organization:{self.organization}#{action.permission}" in self.held
        ]
        if mine and self.seeded.chance(0.6):
            return self.seeded.some(mine, 4)
        return self.seeded.some(list(self.catalog.actions), 3)

    def type(self) -> str:
        """A type of resources."""
        return self.seeded.pick(list(self.catalog.types) or ["none"])

    def verb(self) -> str:
        """An action on the chosen resource."""
        chosen = self._chosen.get("resource")
        kind = chosen.type if chosen is not None else self.type()
        known = self.catalog.types.get(kind)
        return self.seeded.pick(list(known.actions)) if known else "view"

    def right(self) -> dict[str, str]:
        """What a grant gives on the chosen resource: an action, or a role if its type has one."""
        action = self.verb()
        chosen = self._chosen.get("resource")
        kind = self.catalog.types.get(chosen.type) if chosen is not None else None
        if kind is not None and kind.roles and self.seeded.chance(0.4):
            return {"role": self.seeded.pick(list(kind.roles))}
        return {"action": action}

    def reason(self) -> dict[str, str]:
        """A reason, or none."""
        return {"reason": "as agreed"} if self.seeded.chance(0.3) else {}

    def _organization(self) -> str:
        scenario, seeded = self.scenario, self.seeded
        weights = {
            scenario.workplace: 66,
            scenario.own_organization: 18,
            scenario.victim: 9,
            "another": 5,
            "near": 2,
        }
        chosen = seeded.weighted(weights)
        if chosen == "another":
            return seeded.at(scenario.organizations)
        if chosen == "near":
            return self._near(seeded.at([scenario.workplace, scenario.victim]))
        return chosen

    def _parameter(self, name: str) -> str:
        if name == "organization":
            return self.organization
        if name == "position":
            return str(self.seeded.number(1, 40))
        if name == "type":
            chosen = self._choose("resource")
            return chosen.type if chosen is not None and self.seeded.chance(0.92) else self.type()
        if name == "api_token":
            account = self._chosen.get("account")
            mine = [
                each
                for each in self.scenario.of("api_token")
                if account is not None and each.owner == account.id
            ]
            if mine and self.seeded.chance(0.8):
                return self.seeded.pick(mine).id
        if name == "user":
            return self.user()
        if name == "resource":
            chosen = self._choose("resource")
            new = self.about.get("new_resource", False)
            return f"thing_{self.about.get('step')}" if new or chosen is None else chosen.id
        return self.name(name)

    def _choose(self, kind: str) -> KnownObject | None:
        if kind not in self._chosen and (known := self._known_object(kind)) is not None:
            self._chosen[kind] = known
        return self._chosen.get(kind)

    def _known_object(self, kind: str) -> KnownObject | None:
        here = self.scenario.of(kind, self.organization)
        if here and self.seeded.chance(0.88):
            # recent objects are as likely as all earlier ones together
            return self.seeded.pick(here[-6:] if self.seeded.chance(0.5) else here)
        everywhere = self.scenario.of(kind)
        return self.seeded.pick(everywhere) if everywhere else None

    def _near(self, id: str) -> str:
        """An id that another could be taken for."""
        organization = self.scenario.victim
        variants = [id[:-1], f"{id}-own", id.upper(), f"{organization}/{id}", f"{id}/", f"{id}\n"]
        return self.seeded.at(variants)
