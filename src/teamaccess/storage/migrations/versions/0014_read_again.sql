-- The statement that locks an organization has seen its findings before it waited for the lock. A volatile
-- function reads them with a new snapshot, when the lock is held.

CREATE FUNCTION foreign_schema_found() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
BEGIN
  RETURN EXISTS (SELECT FROM findings WHERE kind = 'foreign_schema' AND resolved_at IS NULL);
END $$;

REVOKE EXECUTE ON FUNCTION foreign_schema_found FROM PUBLIC;
GRANT EXECUTE ON FUNCTION foreign_schema_found TO teamaccess;
