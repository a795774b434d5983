"""Team access for B2B products: organizations, members, roles and invitations.

Rows in PostgreSQL record who belongs where, and each row defines which relationships it stands for.
SpiceDB holds these relationships and answers "may this user do it?". This package imports nothing by
itself. The server needs the extra `teamaccess[server]`, the local stack `teamaccess[embedded]`.
"""
