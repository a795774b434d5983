"""Decides what an actor may do. Every check of a permission goes through here."""
