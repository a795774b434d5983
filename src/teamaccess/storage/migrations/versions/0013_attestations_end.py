"""What an event says of a row ends with the row: it explains no row that is put back."""

from teamaccess.storage.migrations import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Let attestations end, and close what the application's role could get round."""
    run_script("0013_attestations_end.sql")
