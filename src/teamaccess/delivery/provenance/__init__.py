"""Tells writes that our database explains from foreign ones."""
