"""Auditors of every organization, whom operators name."""
