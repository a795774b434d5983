"""Invitations: send them, send them again, cancel them and accept them."""
