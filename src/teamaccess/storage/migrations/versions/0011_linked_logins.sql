-- The time at which a login was linked ends earlier sessions, so it must not change, as ended sessions must not.

CREATE OR REPLACE FUNCTION user_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (OLD.issuer IS NOT NULL AND (OLD.issuer, OLD.subject) IS DISTINCT FROM (NEW.issuer, NEW.subject))
    OR NEW.tokens_valid_from < OLD.tokens_valid_from
    OR (OLD.linked_at IS NOT NULL AND NEW.linked_at IS DISTINCT FROM OLD.linked_at)
  THEN
    RAISE EXCEPTION 'a login stays whose it is, and ended sessions stay ended'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

DROP TRIGGER user_kept ON users;
CREATE TRIGGER user_kept BEFORE UPDATE OF issuer, subject, tokens_valid_from, linked_at ON users
FOR EACH ROW EXECUTE FUNCTION user_kept();

GRANT UPDATE (linked_at) ON users TO teamaccess;
