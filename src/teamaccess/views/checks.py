"""Questions whether somebody may do something, and their answers."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.views.request import Request

MOST_CHECKS = 100

Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Asked(Request):
    """Whether a user may do an action in an organization, or on one of its objects."""

    organization: Name
    action: Name
    user: Name | UnsetType = UNSET
    """The caller, where it is left out."""
    resource: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET


class ChecksAsked(Request):
    """Several questions."""

    checks: Annotated[list[Asked], Meta(min_length=1, max_length=MOST_CHECKS)]


class CheckView(msgspec.Struct):
    """An answer."""

    organization: str
    user: str
    action: str
    resource: str | None
    allowed: bool
    zed_token: str | None
    """A moment that the answer knows of."""


class ChecksView(msgspec.Struct):
    """An answer to each question, in their order."""

    checks: list[CheckView]
