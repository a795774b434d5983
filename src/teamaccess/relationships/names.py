"""The names of our own objects in the graph.

An object of an organization is named `<organization>/<local id>`. So names of two tenants never collide,
and all objects of a tenant share the prefix `<organization>/`.
"""

from functools import lru_cache

from teamaccess.relationships.relationship import ObjectReference


@lru_cache(4096)
def user(user_id: str) -> ObjectReference:
    return ObjectReference("user", user_id)


@lru_cache(1024)
def organization(organization_id: str) -> ObjectReference:
    return ObjectReference("organization", organization_id)


def team(organization_id: str, team_id: str) -> ObjectReference:
    return ObjectReference("team", f"{organization_id}/{team_id}")


def role(organization_id: str, role_id: str) -> ObjectReference:
    """Name a custom role. A predefined role is a relation of the organization instead."""
    return ObjectReference("role", f"{organization_id}/{role_id}")


def invitation(organization_id: str, invitation_id: str) -> ObjectReference:
    return ObjectReference("invitation", f"{organization_id}/{invitation_id}")


def email(hmac: str) -> ObjectReference:
    """Name an invitee by the HMAC of the normalized address, never by the address."""
    return ObjectReference("email", hmac)


def ledger_position(position: int, hash_hex: str) -> ObjectReference:
    """Name a ledger position by its number and the first 12 digits of its entry's hash."""
    return ObjectReference("ledger_position", f"{position}-{hash_hex[:12]}")
