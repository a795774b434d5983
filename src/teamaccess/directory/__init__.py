"""The use cases: organizations, members, invitations, roles, teams, resources and service accounts."""
