"""Remedies for a denied action: the smallest changes that would allow it, and who may make them."""
