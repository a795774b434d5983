"""Addresses of PostgreSQL as libpq documents them, and the connections that they describe."""
