"""Compile an access model to the SpiceDB schema that enforces it.

Every permission of an organization is `(roles + granted) & member`. So only an active member can do
anything, whatever other relationships the graph still has. This is the membership gate.
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256

from teamaccess.catalog.access_model import AccessModel
from teamaccess.catalog.model import (
    Action,
    ObjectRole,
    ResourceType,
    Role,
    giving_permission,
)
from teamaccess.catalog.schema import Definition, Permission, Relation, SubjectType

HEADER = """\
// Who may do what in an organization of {name}.
// Compiled from catalogs/{name}.yaml by `teamaccess schema compile`; change the catalog, not this.
use expiration
"""

# Every schema has these names, so no catalog can use them for anything else.
BUILT_IN_TYPES = ("user", "email", "ledger_position", "team", "role", "organization", "invitation")
BUILT_IN_RELATIONS = ("applied", "head", "member", "membership", "administration")
BUILT_IN_OBJECT_RELATIONS = ("organization", "creator")

PROOF = "The name is a hash of this schema and its catalog: a yes proves which schema answers."

USER = (SubjectType("user"), SubjectType("user", expires=True))
TEAM = (SubjectType("team", "member"), SubjectType("team", "member", expires=True))
CUSTOM_ROLE = (SubjectType("role", "member"),)


def compile_schema(catalog: AccessModel) -> str:
    """Return the schema in SpiceDB's language, with comments."""
    return "\n".join([HEADER.format(name=catalog.name), *(f"{d}\n" for d in definitions(catalog))])


def definitions(catalog: AccessModel) -> Iterator[Definition]:
    """Yield the definitions of all object types."""
    yield from _definitions(catalog, [Permission(proof_name(catalog), "head", PROOF)])


def proof_name(catalog: AccessModel) -> str:
    """Return the name of the schema proof: a hash of the rest of the schema and of the catalog's rules.

    A change asks SpiceDB for this permission at the ledger's newest position. A yes proves that SpiceDB
    has the ledger's history and that it enforces exactly this schema. SECURITY: the rules are part of the
    hash because some of them, such as the guards, are not in the schema and still decide what is allowed.
    So a process with other rules than the applied ones changes nothing.
    """
    definitions = (definition.meaning for definition in _definitions(catalog, []))
    meaning = "\n".join([*definitions, json.dumps(catalog.rules(), sort_keys=True)])
    return f"schema_{sha256(meaning.encode()).hexdigest()[:16]}"


def _definitions(catalog: AccessModel, proof: list[Permission]) -> Iterator[Definition]:
    yield Definition("user", "A person or a service account; the id is opaque.")
    yield Definition("email", "An address that was invited, as the HMAC of its normal form.")
    yield Definition("ledger_position", "A position of an organization's ledger and its hash.")
    yield team_definition()
    yield custom_role_definition()
    yield organization_definition(catalog, proof)
    for resource_type in catalog.types.values():
        yield registered_object(resource_type, catalog)
    yield invitation_definition()


def team_definition() -> Definition:
    members = Relation("member", USER)
    return Definition("team", "Members of one organization who hold roles together.", [[members]])


def custom_role_definition() -> Definition:
    holders = Relation("member", (*USER, *TEAM))
    return Definition("role", "A bundle of actions that an organization made itself.", [[holders]])


def invitation_definition() -> Definition:
    invitee = Relation("invitee", (SubjectType("email", expires=True),))
    return Definition("invitation", "A place in an organization, offered.", [[invitee]])


def organization_definition(catalog: AccessModel, proof: list[Permission]) -> Definition:
    applied = Relation(
        "applied",
        (SubjectType("ledger_position", expires=True),),
        "The positions of the organization's ledger that have arrived here, for thirty days.",
    )
    head = Relation("head", (SubjectType("ledger_position"),), "The newest of them, and no other.")
    membership = (
        Relation("member", USER, "Active members. Without this relationship, nothing below holds."),
        Permission("membership", "member"),
    )
    administration = Permission(
        "administration",
        f"{catalog.administrator} & member",
        "Has every permission below, so that one question answers for all of them.",
    )
    roles: list[Relation | Permission] = [*map(role_relation, catalog.roles.values())]
    roles.append(administration)
    givers = [giving(given, by, catalog) for given, by in catalog.givers.items()]
    actions = [list(organization_action(action)) for action in catalog.actions.values()]
    return Definition(
        "organization",
        "A tenant: its members, their roles, and what these may do.",
        [[applied, head, *proof], membership, roles, givers, *actions],
    )


def role_relation(role: Role) -> Relation:
    holders = (*USER, *TEAM) if role.teams else USER
    return Relation(role.id, holders, f"{role.name}: {role.description}")


def giving(given: str, by: Iterable[str], catalog: AccessModel) -> Permission:
    """Return the permission to give a role to others without holding its actions."""
    holders = dict.fromkeys([catalog.administrator, *by])
    about = f"Gives the role {given} to others, and takes it from them, without what it allows"
    return Permission(giving_permission(given), f"({' + '.join(holders)}) & member", about)


def organization_action(action: Action) -> Iterator[Relation | Permission]:
    """Yield the relation and the permission of an action throughout the organization."""
    about = action.description
    if action.reserved:
        about += "; no custom role may hold it"
    else:
        yield Relation(action.grant_relation, CUSTOM_ROLE)
    if action.four_eyes:
        about += "; ask the object, which knows who created it"
    yield Permission(action.permission, f"({' + '.join(action.holders)}) & member", about)


def registered_object(resource_type: ResourceType, catalog: AccessModel) -> Definition:
    origin = [Relation("organization", (SubjectType("organization"),))]
    if resource_type.demands_creator:
        origin.append(Relation("creator", (SubjectType("user"),)))
    roles = [object_role(role) for role in resource_type.roles.values()]
    actions = [
        list(object_action(verb, catalog.actions[action], resource_type))
        for verb, action in resource_type.actions.items()
    ]
    about = f"One of the objects that services register: {resource_type.label}."
    return Definition(resource_type.id, about, [origin, roles, *actions])


def object_role(role: ObjectRole) -> Relation:
    """Return the relation of the holders of a role on one object."""
    about = f"{role.name}: {role.description}"
    return Relation(f"granted_{role.id}", (*USER, *TEAM), about)


def object_action(
    verb: str, action: Action, resource_type: ResourceType
) -> Iterator[Relation | Permission]:
    """Yield the relation and the permission of an action on one object.

    The permission includes all who may perform the action throughout the organization.
    """
    yield Relation(f"granted_{verb}", (*USER, *TEAM))
    relations = [f"granted_{name}" for name in resource_type.grants_of(verb)]
    granted = relations[0] if len(relations) == 1 else f"({' + '.join(relations)})"
    holders = f"organization->{action.permission} + ({granted} & organization->membership)"
    if action.four_eyes:
        about = f"{action.description}, never by its creator"
        yield Permission(verb, f"({holders}) - creator", about)
    else:
        yield Permission(verb, holders, action.description)
