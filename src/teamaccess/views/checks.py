"""Checks: may a user do an action? The questions and the answers."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.views.request import Request, UserReference

MOST_CHECKS = 100

Name = Annotated[str, Meta(min_length=1, max_length=64)]


class CheckInput(Request):
    """The question whether a user may do an action in an organization, or on one of its objects."""

    organization: Name
    action: Name
    user: UserReference | UnsetType = UNSET
    """The caller if it is left out."""
    resource: Annotated[str, Meta(min_length=1, max_length=300)] | UnsetType = UNSET


class ChecksInput(Request):
    """Several questions in one request."""

    checks: Annotated[list[CheckInput], Meta(min_length=1, max_length=MOST_CHECKS)]


class CheckView(msgspec.Struct):
    """The answer to one question."""

    organization: str
    user: str
    action: str
    resource: str | None
    allowed: bool
    zed_token: str | None
    """A revision that the answer includes."""


class ChecksView(msgspec.Struct):
    """An answer to each question, in the order of the questions."""

    checks: list[CheckView]
