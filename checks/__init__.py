"""Checks of the code base that no library has. `make lint` runs them."""
