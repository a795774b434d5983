-- The statement that locks an organization takes its snapshot before it waits for the lock, so findings
-- recorded meanwhile are missing from it. A volatile function reads them with a new snapshot, under the lock.

CREATE FUNCTION foreign_schema_found() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
BEGIN
  RETURN EXISTS (SELECT FROM findings WHERE kind = 'foreign_schema' AND resolved_at IS NULL);
END $$;

REVOKE EXECUTE ON FUNCTION foreign_schema_found FROM PUBLIC;
GRANT EXECUTE ON FUNCTION foreign_schema_found TO teamaccess;
