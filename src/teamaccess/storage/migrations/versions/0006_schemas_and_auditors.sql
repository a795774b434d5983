-- The schemas in force are evidence, as the chains are. So PostgreSQL sets the time, and refuses to change or
-- delete a row.

CREATE FUNCTION schema_version_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on schema_versions is refused: what was in force stays so', TG_OP
    USING ERRCODE = 'insufficient_privilege';
END $$;

REVOKE EXECUTE ON FUNCTION schema_version_kept FROM PUBLIC;

CREATE TRIGGER schema_version_kept BEFORE UPDATE OR DELETE ON schema_versions
FOR EACH ROW EXECUTE FUNCTION schema_version_kept();
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON schema_versions
FOR EACH STATEMENT EXECUTE FUNCTION schema_version_kept();

GRANT SELECT ON schema_versions TO teamaccess;
GRANT INSERT (catalog_version, catalog, schema, applied_by) ON schema_versions TO teamaccess;

-- The history of auditors is in the platform's events. A row exists only for a present auditor.

GRANT SELECT, INSERT, UPDATE, DELETE ON auditors TO teamaccess;
