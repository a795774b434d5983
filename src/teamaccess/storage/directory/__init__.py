"""The tables that administrators change: organizations, users, members, roles, teams and objects."""
