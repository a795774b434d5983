"""Decides who may do what to whom. Every check of a permission goes through here."""
