"""Auditors of all organizations, appointed by operators."""
