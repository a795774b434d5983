"""The rows that administrators change: organizations, people, roles, teams, resources."""
