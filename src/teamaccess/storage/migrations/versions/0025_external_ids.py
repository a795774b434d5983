"""The event of a changed profile also attests the external id of a user."""

from teamaccess.storage.migrations import run_script

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Replace the function that says which rows an event attests."""
    run_script("0025_external_ids.sql")
