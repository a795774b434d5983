"""A ledger entry changes its own organization only, and entries, events and attempts have limits."""

from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0026"
down_revision = "0025"

SIZES = {
    "ledger": (
        "cardinality(updates) <= 997 AND octet_length(array_to_string(updates, '')) <= 4194304"
    ),
    "events": (
        "octet_length(CAST(details AS text)) <= 262144"
        " AND octet_length(concat(chain, kind, actor, channel, request_id, subject)) <= 16384"
    ),
}
VALIDATE = """
DO $$ BEGIN
  ALTER TABLE {0} VALIDATE CONSTRAINT {0}_size_check;
EXCEPTION WHEN check_violation THEN
  RAISE NOTICE 'an older row of {0} is larger than the application writes, and stays as it is';
END $$
"""


def upgrade() -> None:
    """Add the limits. Older entries and events that exceed them stay, because they never change."""
    for table, condition in SIZES.items():
        name = f"{table}_size_check"
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
        op.execute(VALIDATE.format(table))
    op.execute(
        "UPDATE ledger_applications SET attempts = 0 WHERE attempts NOT BETWEEN 0 AND 1000000"
    )
    op.create_check_constraint(
        op.f("ledger_applications_attempts_check"),
        "ledger_applications",
        "attempts >= 0 AND attempts <= 1000000",
    )
    run_script("0026_bounded_evidence.sql")
