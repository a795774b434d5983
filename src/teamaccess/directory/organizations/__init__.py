"""Customers' teams: founding, renaming, ending them, and who may do what in them."""
