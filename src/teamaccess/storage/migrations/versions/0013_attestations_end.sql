-- The attestation of an invitation ends when it is accepted, cancelled or ended by the sweeper. The attestation of
-- an auditor ends with the row. So a row that is inserted again needs a new event, as any other row does.

CREATE FUNCTION attestation_ends() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE gone jsonb := to_jsonb(OLD);
BEGIN
  DELETE FROM attested_rows WHERE key = CASE TG_ARGV[0]
    WHEN 'invitation' THEN 'invitation:' || (gone ->> 'organization_id') || '/' || (gone ->> 'id')
    ELSE 'auditor:' || (gone ->> 'user_id') END;
  RETURN NULL;
END $$;

CREATE TRIGGER attestation_ends AFTER DELETE ON invitations
FOR EACH ROW EXECUTE FUNCTION attestation_ends('invitation');
CREATE TRIGGER attestation_ends_with_offer AFTER UPDATE OF accepted_at, cancelled_at, lapsed_at ON invitations
FOR EACH ROW
WHEN (NEW.accepted_at IS NOT NULL OR NEW.cancelled_at IS NOT NULL OR NEW.lapsed_at IS NOT NULL)
EXECUTE FUNCTION attestation_ends('invitation');
CREATE TRIGGER attestation_ends AFTER DELETE ON auditors
FOR EACH ROW EXECUTE FUNCTION attestation_ends('auditor');

DELETE FROM attested_rows USING invitations
WHERE key = 'invitation:' || organization_id || '/' || id
  AND (accepted_at IS NOT NULL OR cancelled_at IS NOT NULL OR lapsed_at IS NOT NULL);

-- Returns whether an open invitation matches the newest event about it. It is checked before the acceptance. So a
-- row written without the application lets nobody in, even before somebody runs `verify`.

CREATE FUNCTION invitation_attested(wanted_organization text, wanted_id text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM invitations AS i
    JOIN attested_rows ON key = 'invitation:' || i.organization_id || '/' || i.id
    WHERE i.organization_id = wanted_organization AND i.id = wanted_id
      AND proof = invitation_proof(i))
$$;

-- The external id of a user never changes either.

CREATE OR REPLACE FUNCTION user_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF (OLD.issuer IS NOT NULL AND (OLD.issuer, OLD.subject) IS DISTINCT FROM (NEW.issuer, NEW.subject))
    OR NEW.tokens_valid_from < OLD.tokens_valid_from
    OR (OLD.linked_at IS NOT NULL AND NEW.linked_at IS DISTINCT FROM OLD.linked_at)
    OR (OLD.external_id IS NOT NULL AND NEW.external_id IS DISTINCT FROM OLD.external_id)
  THEN
    RAISE EXCEPTION 'a login stays whose it is, and ended sessions stay ended'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

DROP TRIGGER user_kept ON users;
CREATE TRIGGER user_kept
BEFORE UPDATE OF issuer, subject, tokens_valid_from, linked_at, external_id ON users
FOR EACH ROW EXECUTE FUNCTION user_kept();

-- Without a search_path, a function looks up types in the caller's temporary schema first.

ALTER FUNCTION not_ahead() SET search_path = public, pg_temp;
ALTER FUNCTION api_token_kept() SET search_path = public, pg_temp;

CREATE TRIGGER sessions_not_ahead BEFORE UPDATE OF tokens_valid_from ON users
FOR EACH ROW EXECUTE FUNCTION not_ahead('tokens_valid_from');
CREATE TRIGGER linked_not_ahead BEFORE UPDATE OF linked_at ON users
FOR EACH ROW EXECUTE FUNCTION not_ahead('linked_at');

REVOKE EXECUTE ON FUNCTION attestation_ends, invitation_attested FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invitation_attested TO teamaccess;
