"""The auditor's questions: who can do what, and why. The engine answers, the ledger explains."""
