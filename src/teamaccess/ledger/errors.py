"""What can go wrong between a row and the graph."""

from teamaccess.common.errors import NotFound, Unavailable
from teamaccess.engine import EngineRefused


class UnknownOrganization(NotFound):
    """There is no organization {organization} that you can see."""


class OrganizationBusy(Unavailable):
    """Earlier changes of {organization} are under way, or have not reached the permission engine yet, so this one cannot be judged. Nothing was changed; try again shortly."""  # noqa: E501 - a sentence is one line


class OrganizationStopped(Unavailable):
    """The permission engine refuses an earlier change of {organization} for good ({refusal}). Nothing was changed; an operator must mend it."""  # noqa: E501 - a sentence is one line

    retry_after = 60


class OtherHistory(Unavailable):
    """The permission engine and the ledger of {organization} have different histories: one of them was replaced or restored. Nothing was changed; an operator must run `teamaccess reconcile --rebuild`."""  # noqa: E501 - a sentence is one line

    retry_after = 60


class ForeignSchemaFound(Unavailable):
    """The permission engine was given a schema that `teamaccess schema apply` did not record, so nothing may be given. Nothing was changed; an operator must look at it: `teamaccess findings list`."""  # noqa: E501 - a sentence is one line

    retry_after = 60


class NotCommitted(Unavailable):
    """The database went away before the change was made. Nothing was changed; try again."""


class OutcomeUnknown(Unavailable):
    """The database did not say whether the change was made. Look before you make it again, or send the same Idempotency-Key."""  # noqa: E501 - a sentence is one line


class PositionRefused(EngineRefused):
    """SpiceDB will never accept this position of a ledger."""

    def __init__(self, organization: str, position: int, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.organization, self.position = organization, position


class UnattributedChange(RuntimeError):
    """Rows that mean access were changed in a session that does not say who changes them."""


class OverlappingRows(RuntimeError):
    """Two rows stand for the same relationship, so deleting one would take the other's away."""


class SchemaViolation(RuntimeError):
    """A row stands for a relationship that the catalog's schema does not have."""


class IndivisibleChange(RuntimeError):
    """A transaction changes more about one subject than SpiceDB takes in one write."""
