"""The tables of records: the ledger, events, findings, and runs that write to SpiceDB."""
