"""The shapes of organizations, members, invitations, roles, teams, resources and service accounts."""
