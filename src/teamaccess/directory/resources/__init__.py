"""Objects that services register, and access to single ones."""
