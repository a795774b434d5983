"""The routes of organizations and everything in them, one file for each kind."""
