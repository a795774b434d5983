-- Notes: one for each statement, with the images of all its rows, instead of one for each row. A change of
-- thousands of rows then needs few notes, and the deferred constraint checks few.

DROP TRIGGER ledger_note ON memberships;
DROP TRIGGER ledger_note ON role_assignments;
DROP TRIGGER ledger_note ON invitations;
DROP FUNCTION ledger_note;

CREATE FUNCTION ledger_note() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  CASE TG_OP
  WHEN 'INSERT' THEN
    INSERT INTO ledger_notes (source, before, after)
    SELECT TG_TABLE_NAME, '[]', jsonb_agg(to_jsonb(new_image)) FROM new_images new_image
    HAVING count(*) > 0;
  WHEN 'DELETE' THEN
    INSERT INTO ledger_notes (source, before, after)
    SELECT TG_TABLE_NAME, jsonb_agg(to_jsonb(old_image)), '[]' FROM old_images old_image
    HAVING count(*) > 0;
  ELSE
    INSERT INTO ledger_notes (source, before, after)
    SELECT TG_TABLE_NAME, jsonb_agg(to_jsonb(old_image)),
           (SELECT jsonb_agg(to_jsonb(new_image)) FROM new_images new_image)
    FROM old_images old_image HAVING count(*) > 0;
  END CASE;
  RETURN NULL;
END $$;

REVOKE EXECUTE ON FUNCTION ledger_note FROM PUBLIC;

-- Makes PostgreSQL note every change to the table.
CREATE PROCEDURE note_changes(source regclass) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER ledger_note_insert AFTER INSERT ON %s
    REFERENCING NEW TABLE AS new_images
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note()', source);
  EXECUTE format('CREATE TRIGGER ledger_note_update AFTER UPDATE ON %s
    REFERENCING OLD TABLE AS old_images NEW TABLE AS new_images
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note()', source);
  EXECUTE format('CREATE TRIGGER ledger_note_delete AFTER DELETE ON %s
    REFERENCING OLD TABLE AS old_images
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note()', source);
END $$;

REVOKE EXECUTE ON PROCEDURE note_changes FROM PUBLIC;

CALL note_changes('memberships');
CALL note_changes('role_assignments');
CALL note_changes('invitations');

-- `ledger_lock` counts skipped positions as delivered. It also returns the transaction, so that the application
-- can find out its outcome if PostgreSQL goes away during the commit.

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
