-- The rights of the application's role. It owns nothing. It cannot drop a trigger, truncate a table, write a
-- note, a head, a position or a hash, or change an entry of a chain.

GRANT SELECT, INSERT, UPDATE ON users, organizations TO teamaccess;
GRANT SELECT, INSERT, UPDATE, DELETE ON
  memberships, role_assignments, invitations, invitation_roles, activity, idempotency_keys, reasons
  TO teamaccess;

GRANT SELECT ON ledger, ledger_heads, ledger_applications, events, event_heads TO teamaccess;
GRANT INSERT (organization_id, updates, actor, channel, request_id, catalog_version, reason_hash)
  ON ledger TO teamaccess;
GRANT UPDATE (status, attempts, zed_token, enforced_at, refusal) ON ledger_applications TO teamaccess;
GRANT INSERT (chain, kind, actor, channel, request_id, subject, details, reason_hash)
  ON events TO teamaccess;

-- A role that may execute a trigger function can attach it to a temporary table, and so write with the rights
-- of the function's owner. A trigger needs no such right when it fires.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_drain, ledger_lock TO teamaccess;
