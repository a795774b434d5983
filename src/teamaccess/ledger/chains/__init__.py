"""Verifies ledgers and events: every hash is computed again."""
