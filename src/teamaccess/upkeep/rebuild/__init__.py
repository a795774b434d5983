"""Rebuilds organizations in SpiceDB: empties them, and fills them from the rows."""
