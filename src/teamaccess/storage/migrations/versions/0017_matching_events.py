"""Events attest more kinds of rows, and only rows that they describe correctly."""

from teamaccess.storage.migrations import run_script

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Extend the attestations of rows, and keep evidence that the application's role could change."""
    run_script("0017_matching_events.sql")
