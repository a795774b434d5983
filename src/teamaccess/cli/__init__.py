"""The command line: a second edge on the same use cases."""
