"""Lists of an organization as it was: members, teams, places, roles, grants and invitations."""
