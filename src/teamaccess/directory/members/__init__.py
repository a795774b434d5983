"""Members of an organization, and everything that an administrator can change about them."""
