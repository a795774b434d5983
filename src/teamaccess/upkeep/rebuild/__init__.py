"""Fills SpiceDB again from the rows, and compares the result."""
