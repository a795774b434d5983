"""Verifies ledgers and events by computing every hash again."""
