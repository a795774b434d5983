-- Where an organization stands counts skipped positions as done, and names the transaction, whose
-- outcome can then be asked for if PostgreSQL goes away while it commits.

DROP FUNCTION ledger_lock;

CREATE FUNCTION ledger_lock(wanted text[]) RETURNS TABLE (
  organization_id text, head bigint, hash bytea, now timestamptz, transaction text,
  applied bigint, zed_token text, refusal text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM FROM ledger_heads WHERE organization_id = ANY (wanted)
  ORDER BY organization_id FOR NO KEY UPDATE;
  RETURN QUERY
  SELECT heads.organization_id, heads.position, heads.hash,
         greatest(clock_timestamp(), heads.decided_at), pg_current_xact_id()::text,
         coalesce(last.position, 0), last.zed_token, stop.refusal
  FROM ledger_heads heads
  JOIN organizations ON organizations.id = heads.organization_id AND deleted_at IS NULL
  LEFT JOIN LATERAL (
    SELECT position, zed_token FROM ledger_applications
    WHERE organization_id = heads.organization_id AND status IN ('applied', 'skipped')
    ORDER BY position DESC LIMIT 1) last ON true
  LEFT JOIN LATERAL (
    SELECT refusal FROM ledger_applications
    WHERE organization_id = heads.organization_id AND status = 'refused'
    ORDER BY position LIMIT 1) stop ON true
  WHERE heads.organization_id = ANY (wanted)
  ORDER BY heads.organization_id;
END $$;

REVOKE EXECUTE ON FUNCTION ledger_lock FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_lock TO teamaccess;

GRANT UPDATE (due_at) ON ledger_applications TO teamaccess;
GRANT SELECT, INSERT, UPDATE ON reconciliations, watch_cursor TO teamaccess;
GRANT SELECT, INSERT, UPDATE (resolved_at) ON findings TO teamaccess;
