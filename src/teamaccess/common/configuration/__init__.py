"""The settings: their names, their values, their limits and their secrets."""
