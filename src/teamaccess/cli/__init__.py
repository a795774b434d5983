"""The command line. It calls the same use cases as the API."""
