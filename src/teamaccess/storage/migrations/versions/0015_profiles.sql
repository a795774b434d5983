-- A login may be given to another user, if the same statement ends the sessions of that user (linked_at). Its external
-- id then becomes the new subject, or none.

CREATE OR REPLACE FUNCTION user_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  moved boolean := (OLD.issuer, OLD.subject) IS DISTINCT FROM (NEW.issuer, NEW.subject);
  ended boolean := coalesce(NEW.linked_at > coalesce(OLD.linked_at, '-infinity'), false);
BEGIN
  IF (OLD.issuer IS NOT NULL AND moved AND NOT ended)
    OR NEW.tokens_valid_from < OLD.tokens_valid_from
    OR (OLD.linked_at IS NOT NULL AND NEW.linked_at IS DISTINCT FROM OLD.linked_at
        AND NOT (moved AND ended))
    OR (OLD.external_id IS NOT NULL AND NEW.external_id IS DISTINCT FROM OLD.external_id
        AND NOT (moved AND (NEW.external_id IS NULL OR NEW.external_id IS NOT DISTINCT FROM NEW.subject)))
  THEN
    RAISE EXCEPTION 'a login stays whose it is, and ended sessions stay ended'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

-- The attestation of a login ends with the login.

CREATE FUNCTION login_attestation_ends() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  DELETE FROM attested_rows WHERE key = 'login:' || NEW.id;
  RETURN NULL;
END $$;

CREATE TRIGGER login_attestation_ends AFTER UPDATE OF issuer ON users
FOR EACH ROW WHEN (OLD.issuer IS NOT NULL AND NEW.issuer IS NULL)
EXECUTE FUNCTION login_attestation_ends();

-- A user's address, and a login that a user had, change only together with an event about the user. The events of a
-- transaction are the last ones of their chain, because the chain's head stays locked until the commit.

CREATE FUNCTION user_change_recorded() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM events
    WHERE chain = '-' AND position > (SELECT position - 50 FROM event_heads WHERE chain = '-')
      AND subject = 'user:' || NEW.id AND transaction = pg_current_xact_id()
      AND kind IN ('user_profile_changed', 'address_released', 'login_linked', 'login_moved')
  ) THEN
    RAISE EXCEPTION 'no event records this change of %', NEW.id USING
      ERRCODE = 'integrity_constraint_violation',
      CONSTRAINT = 'user_change_recorded',
      HINT = 'Change users through the application, which records an event.';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER user_change_recorded AFTER UPDATE OF email, issuer, subject ON users
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (OLD.email IS DISTINCT FROM NEW.email
  OR (OLD.issuer IS NOT NULL
      AND (OLD.issuer, OLD.subject) IS DISTINCT FROM (NEW.issuer, NEW.subject)))
EXECUTE FUNCTION user_change_recorded();

CREATE TRIGGER profile_not_ahead BEFORE UPDATE OF profile_at ON users
FOR EACH ROW EXECUTE FUNCTION not_ahead('profile_at');

GRANT UPDATE (email, profile_at) ON users TO teamaccess;
REVOKE EXECUTE ON FUNCTION login_attestation_ends, user_change_recorded FROM PUBLIC;
