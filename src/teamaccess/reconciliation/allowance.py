"""How much may be deleted without somebody having said so."""

from teamaccess.errors import Conflict

UNASKED = 100


class TooManyDeletes(Conflict):
    """Mending {organization} takes {needed} deletes, and of the {allowed} that --max-deletes allows {left} are left. Nothing of it was mended."""  # noqa: E501 - a sentence is one line


class Allowance:
    """Counts deletes up to a limit, over all tenants."""

    def __init__(self, deletes: int = UNASKED) -> None:
        self.allowed = self.left = deletes

    def spend(self, organization: str, deletes: int) -> None:
        """Take so many; raises TooManyDeletes, and takes none, where they are not left."""
        if deletes > self.left:
            raise TooManyDeletes(
                organization=organization, needed=deletes, allowed=self.allowed, left=self.left
            )
        self.left -= deletes
