"""Team access for B2B products: organizations, members, roles and invitations.

Rows in PostgreSQL say who belongs where; each row says which relationships it stands for; SpiceDB
holds these and answers "may she?". This package imports nothing by itself: a service that asks
installs it bare, the server brings `teamaccess[server]`, the local stack `teamaccess[embedded]`.
"""
