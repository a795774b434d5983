-- The new source tables: every change to them is noted, and TRUNCATE is refused.

CALL note_changes('custom_role_actions');
CALL note_changes('team_memberships');
CALL note_changes('team_roles');
CALL note_changes('resources');
CALL note_changes('grants');

CREATE TRIGGER not_truncated BEFORE TRUNCATE ON custom_role_actions
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON team_memberships
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON team_roles
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON resources
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON grants
FOR EACH STATEMENT EXECUTE FUNCTION refuse();

-- The creator of an object cannot change, and a removed object stays removed. Otherwise a member could
-- authorize an object that they created.

CREATE FUNCTION resource_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE'
    OR (OLD.organization_id, OLD.type, OLD.id) IS DISTINCT FROM (NEW.organization_id, NEW.type, NEW.id)
    OR OLD.creator IS DISTINCT FROM NEW.creator
    OR (OLD.removed_at IS NOT NULL AND NEW.removed_at IS DISTINCT FROM OLD.removed_at)
  THEN
    RAISE EXCEPTION 'an object keeps its id and its creator, and what is removed stays so'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

REVOKE EXECUTE ON FUNCTION resource_kept FROM PUBLIC;

CREATE TRIGGER resource_kept BEFORE UPDATE OR DELETE ON resources
FOR EACH ROW EXECUTE FUNCTION resource_kept();

GRANT SELECT, INSERT, UPDATE ON resources, access_requests TO teamaccess;
GRANT SELECT, INSERT, UPDATE, DELETE ON
  custom_roles, custom_role_actions, teams, team_memberships, team_roles, grants, api_tokens
  TO teamaccess;
