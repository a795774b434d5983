"""Who sends a request: tokens, sessions, members, service accounts, operators."""
