"""The roles of an organization: the catalog's, and those that it has made itself."""
