"""An organization full of people who want more than they have, and what each of them may do."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionResponse,
    Consistency,
    ObjectReference,
    SubjectReference,
)

from teamaccess.models import UserId
from tests.world import Person, Team

Powers = Mapping[UserId, frozenset[str]]
"""What everybody may do: actions, and permissions on objects such as `webhook:acme/wh_1#edit`."""
HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION


@dataclass
class Arena:
    """Everybody and everything that takes part."""

    team: Team
    chance: Random
    people: list[Person]
    """Whoever ever was a member, machines too; all of them act."""
    guests: list[str] = field(default_factory=list)
    """Names of those who may be invited."""
    roles: list[str] = field(default_factory=list)
    """The organization's own."""
    teams: list[str] = field(default_factory=list)
    objects: list[tuple[str, str]] = field(default_factory=list)
    """Type and id of what was registered."""
    invitations: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    machines: list[Person] = field(default_factory=list)
    tokens: list[tuple[Person, str]] = field(default_factory=list)
    """Machines and the ids of their tokens."""
    numbers: int = 0

    def next(self, name: str) -> str:
        """A name that nothing had before."""
        self.numbers += 1
        return f"{name}_{self.numbers}"

    @property
    def predefined(self) -> list[str]:
        """The catalog's roles."""
        return list(self.team.world.service.catalog.roles)

    def some_roles(self, most: int = 2) -> list[str]:
        """A few of all roles, once each."""
        known = [*self.predefined, *self.roles]
        return self.chance.sample(known, min(len(known), self.chance.randint(1, most)))

    def some_actions(self) -> list[str]:
        """A few of the catalog's actions, and now and then a great many."""
        known = list(self.team.world.service.catalog.actions)
        most = len(known) if self.chance.random() < 0.1 else 4
        return self.chance.sample(known, self.chance.randint(1, most))

    async def powers(self) -> Powers:
        """What everybody may do at this moment, by SpiceDB's word alone."""
        held = await asyncio.gather(*(self._held(person.id) for person in self.people))
        return dict(zip([person.id for person in self.people], held, strict=True))

    def behind(self, power: str) -> str | None:
        """The action that gives a permission on an object everywhere."""
        object, _, verb = power.partition("#")
        if not verb:
            return None
        catalog = self.team.world.service.catalog
        return catalog.types[object.partition(":")[0]].actions[verb]

    def covered(self, powers: Iterable[str], by: frozenset[str]) -> bool:
        """Whether somebody who may do this has all that: everywhere, or on the object."""
        return all(power in by or self.behind(power) in by for power in powers)

    async def _held(self, user: UserId) -> frozenset[str]:
        catalog, tenant = self.team.world.service.catalog, self.team.id
        asked: dict[str, tuple[str, str, str]] = {
            action.id: ("organization", tenant, action.permission)
            for action in catalog.actions.values()
        }
        for kind, id in self.objects:
            for verb in catalog.types[kind].actions:
                asked[f"{kind}:{tenant}/{id}#{verb}"] = (kind, f"{tenant}/{id}", verb)
        key = self.team.world.settings.spicedb_preshared_key.get_secret_value()
        response = await self.team.world.engine.CheckBulkPermissions(
            CheckBulkPermissionsRequest(
                consistency=Consistency(fully_consistent=True),
                items=[
                    CheckBulkPermissionsRequestItem(
                        resource=ObjectReference(object_type=kind, object_id=id),
                        permission=permission,
                        subject=SubjectReference(
                            object=ObjectReference(object_type="user", object_id=user)
                        ),
                    )
                    for kind, id, permission in asked.values()
                ],
            ),
            metadata=(("authorization", f"Bearer {key}"),),
        )
        return frozenset(
            name
            for name, pair in zip(asked, response.pairs, strict=True)
            if pair.item.permissionship == HAS
        )
