"""Offers of membership: sent, sent again, withdrawn, accepted, each at most once."""
