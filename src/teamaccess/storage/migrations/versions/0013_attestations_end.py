"""The attestation of a row ends with the row, so it does not prove a row that is inserted again."""

from teamaccess.storage.migrations import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Let attestations end, and close bypasses that the application's role had."""
    run_script("0013_attestations_end.sql")
