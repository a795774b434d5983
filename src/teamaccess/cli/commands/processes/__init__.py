"""The commands that run a process or prepare its database."""
