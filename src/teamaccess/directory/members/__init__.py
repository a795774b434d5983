"""People in an organization: what they hold, and everything an administrator does to that."""
