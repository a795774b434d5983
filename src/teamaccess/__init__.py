"""Team access for B2B products: organizations, members, roles and invitations.

Rows in PostgreSQL say who belongs where. Each row defines the relationships that it stands for. SpiceDB
holds the relationships and answers checks.

This module imports nothing. The plain package depends only on SpiceDB's client, so that any service can
install it. The server needs `teamaccess[server]`, and the local stack `teamaccess[embedded]`.
"""
