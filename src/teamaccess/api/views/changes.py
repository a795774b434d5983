"""How far a change has come."""

import msgspec

from teamaccess.models import (
    ApplicationStatus,
)


class ChangeView(msgspec.Struct):
    """How far a ledger position has come on its way into SpiceDB."""

    status: ApplicationStatus
    zed_token: str | None
