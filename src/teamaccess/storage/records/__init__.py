"""The rows that record: ledger, events, findings, runs over SpiceDB."""
