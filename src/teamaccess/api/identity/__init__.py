"""Authentication: who sends a request, and with which credential."""
