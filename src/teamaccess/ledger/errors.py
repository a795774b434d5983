"""What can go wrong between a changed row and its relationships in SpiceDB."""

from teamaccess.common.errors import NotFound, Unavailable
from teamaccess.engine import EngineRefused


class UnknownOrganization(NotFound):
    """There is no such organization, or the caller is not a member: the two must look the same."""

    message = "There is no organization {organization} that you can see."


class OrganizationBusy(Unavailable):
    """Earlier changes are in progress, or have not reached SpiceDB. Its answers would be old."""

    message = (
        "Earlier changes of {organization} are still in progress or have not reached the "
        "permission engine. The change was not made; try again shortly."
    )


class OrganizationStopped(Unavailable):
    """SpiceDB permanently refuses an earlier change of the organization.

    Suspending, removing and leaving still work.
    """

    message = (
        "The permission engine permanently refuses an earlier change of {organization} "
        "({refusal}). The change was not made; an operator must repair it."
    )
    retry_after = 60


class OtherHistory(Unavailable):
    """SpiceDB's head relationship is not of this ledger: one of the two was replaced or restored."""

    message = (
        "The permission engine and the ledger of {organization} have different histories: one "
        "of them was replaced or restored. The change was not made; an operator must run "
        "`teamaccess reconcile --rebuild`."
    )
    retry_after = 60


class ForeignSchemaFound(Unavailable):
    """SpiceDB has a schema that `teamaccess schema apply` did not record.

    Its answers cannot be trusted.
    """

    message = (
        "The permission engine has a schema that `teamaccess schema apply` did not record, so "
        "no access can be given. The change was not made; an operator must examine it with "
        "`teamaccess findings list`."
    )
    retry_after = 60


class NotCommitted(Unavailable):
    """The database went away before the commit, so the change does not exist."""

    message = (
        "The database went away before the change was committed, so the change was not made. Try "
        "again."
    )


class OutcomeUnknown(Unavailable):
    """The database went away during the commit, so the change may exist."""

    message = (
        "The database did not confirm the change, so it may have been made. Look before you "
        "repeat it, or repeat it with the same Idempotency-Key."
    )


class PositionRefused(EngineRefused):
    """SpiceDB will never accept this position of a ledger."""

    def __init__(self, organization: str, position: int, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.organization, self.position = organization, position


class UnattributedChange(RuntimeError):
    """A session without an attribution changed rows that stand for relationships."""


class OverlappingRows(RuntimeError):
    """Two rows stand for the same relationship, so deleting one would take the other's away."""


class SchemaViolation(RuntimeError):
    """A row stands for a relationship that the catalog's schema does not have."""


class IndivisibleChange(RuntimeError):
    """A transaction changes more about one subject than SpiceDB takes in one write."""
