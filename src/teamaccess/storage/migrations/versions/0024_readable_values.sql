-- API tokens are tokens of service accounts --------------------------------------------------------------

-- An event attests no token of a person. So PostgreSQL refuses such a token, and `verify` names one from before.

CREATE FUNCTION is_of_account(token api_tokens) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM users WHERE id = token.user_id AND service_account_of = token.organization_id)
$$;

CREATE OR REPLACE FUNCTION api_token_proof(token api_tokens) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN NOT is_of_account(token) THEN 'a token of a person' ELSE row_proof(ARRAY[
    CASE WHEN token.people IS NULL AND token.people_until IS NULL THEN 'api_token/1' ELSE 'api_token/2' END,
    token.organization_id, token.id, token.user_id, encode(token.hash, 'hex'), token.created_by,
    chain_time(token.expires_at), chain_time(token.revoked_at)]
    || CASE WHEN token.people IS NULL AND token.people_until IS NULL THEN '{}'
       ELSE ARRAY[coalesce(array_to_string(token.people, ' '), '-'), chain_time(token.people_until)] END) END
$$;

CREATE FUNCTION api_token_of_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT is_of_account(NEW) THEN
    RAISE EXCEPTION '% is not a service account of %', NEW.user_id, NEW.organization_id USING
      ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'api_token_of_account';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER api_token_of_account BEFORE INSERT ON api_tokens
FOR EACH ROW EXECUTE FUNCTION api_token_of_account();

-- Events name what they attest ----------------------------------------------------------------------------

-- The hash by which `login_linked` names a login, and `organization_renamed` a name.

CREATE FUNCTION named_hash(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT encode(sha256(convert_to(value, 'UTF8')), 'hex')
$$;

CREATE OR REPLACE FUNCTION rows_told_of(event events) RETURNS TABLE (key text, proof text)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE said jsonb := event.details; about text := substring(event.subject FROM '^[a-z_]+:(.*)$');
BEGIN
  CASE
  WHEN event.kind IN ('token_created', 'token_rotated') THEN
    RETURN QUERY SELECT 'api_token:' || t.organization_id || '/' || t.id, api_token_proof(t)
    FROM api_tokens t WHERE t.organization_id = event.chain AND event.subject = 'user:' || t.user_id
      AND is_of_account(t)
      AND ((t.id = said ->> 'token' AND t.created_by = event.actor AND t.revoked_at IS NULL
            AND t.expires_at = (said ->> 'expires_at')::timestamptz)
        OR (t.id = said ->> 'replaces' AND event.kind = 'token_rotated' AND t.revoked_at IS NULL
            AND t.expires_at = (said ->> 'replaced_until')::timestamptz));
  WHEN event.kind = 'token_revoked' THEN
    RETURN QUERY SELECT 'api_token:' || t.organization_id || '/' || t.id, api_token_proof(t)
    FROM api_tokens t WHERE t.organization_id = event.chain AND event.subject = 'user:' || t.user_id
      AND is_of_account(t)
      AND t.id = said ->> 'token' AND t.revoked_at IS NOT NULL
      AND t.expires_at = (said ->> 'expires_at')::timestamptz;
  WHEN event.kind IN ('member_invited', 'invitation_resent', 'invitation_offer_changed') THEN
    RETURN QUERY SELECT kind || ':' || i.organization_id || '/' || i.id,
      CASE kind WHEN 'offer' THEN offer_proof(i) ELSE invitation_proof(i) END
    FROM invitations i, unnest(ARRAY['invitation', 'offer']) AS kind
    WHERE i.organization_id = event.chain AND event.subject = 'invitation:' || i.id
      AND (event.kind = 'invitation_offer_changed'
        OR i.expires_at = (said ->> 'expires_at')::timestamptz)
      AND CASE WHEN event.kind = 'invitation_resent' THEN kind = 'invitation'
          ELSE said -> 'roles' = (
            SELECT coalesce(jsonb_agg(role ORDER BY role COLLATE "C"), '[]') FROM invitation_roles
            WHERE organization_id = i.organization_id AND invitation_id = i.id) END;
  WHEN event.kind = 'auditor_granted' AND event.chain = '-' THEN
    RETURN QUERY SELECT 'auditor:' || a.user_id, auditor_proof(a)
    FROM auditors a WHERE event.subject = 'user:' || a.user_id AND a.granted_by = event.actor
      AND a.reason_hash = event.reason_hash AND said ? 'until'
      AND a.expires_at IS NOT DISTINCT FROM (said ->> 'until')::timestamptz;
  WHEN event.kind = 'finding_resolved' THEN
    RETURN QUERY SELECT 'finding:' || f.id, finding_proof(f)
    FROM findings f WHERE f.id = substring(event.subject FROM '^finding:([0-9]{1,18})$')::bigint
      AND f.resolved_by = event.actor AND event.chain IN (f.organization_id, '-')
      AND said ->> 'found' = f.kind AND said ->> 'organization' = f.organization_id;
  WHEN event.kind = 'login_linked' AND event.chain = '-' THEN
    RETURN QUERY SELECT kind || ':' || u.id,
      CASE kind WHEN 'login' THEN login_proof(u) ELSE identity_proof(u) END
    FROM users u, unnest(ARRAY['login', 'identity']) AS kind
    WHERE event.subject = 'user:' || u.id AND u.issuer = said ->> 'issuer'
      AND said ->> 'login' = named_hash(u.issuer || E'\n' || u.subject);
  WHEN event.kind IN ('user_profile_changed', 'address_released', 'login_moved') AND event.chain = '-' THEN
    RETURN QUERY SELECT 'identity:' || u.id, identity_proof(u)
    FROM users u WHERE event.subject = 'user:' || u.id
      AND CASE event.kind
          WHEN 'user_profile_changed' THEN said -> 'changed' ? 'email'
          WHEN 'address_released' THEN u.email IS NULL
          ELSE num_nonnulls(u.issuer, u.subject, u.external_id, u.email) = 0 AND u.linked_at IS NOT NULL
            AND EXISTS (SELECT FROM users AS taker WHERE taker.id = said ->> 'to' AND taker.id <> u.id) END;
  WHEN event.kind = 'schema_applied' AND event.chain = '-' THEN
    RETURN QUERY SELECT 'schema:' || chain_time(v.applied_at), schema_proof(v)
    FROM schema_versions v WHERE event.subject = 'schema:' || v.catalog_version
      AND v.applied_by = event.actor
      AND NOT EXISTS (SELECT FROM attested_rows WHERE attested_rows.key = 'schema:' || chain_time(v.applied_at));
  WHEN event.kind IN ('organization_created', 'organization_renamed', 'organization_deleted') THEN
    RETURN QUERY SELECT 'organization:' || o.id, organization_proof(o)
    FROM organizations o WHERE o.id = event.chain AND about = o.id
      AND (o.deleted_at IS NOT NULL) = (event.kind = 'organization_deleted')
      AND CASE event.kind
          WHEN 'organization_created' THEN NOT EXISTS (
            SELECT FROM attested_rows WHERE attested_rows.key = 'organization:' || o.id)
          WHEN 'organization_renamed' THEN said ->> 'name_hash' = named_hash(o.name)
          ELSE true END;
  ELSE NULL;
  END CASE;
END $$;

-- A user's address changes with the event of this very change.

CREATE OR REPLACE FUNCTION user_change_recorded() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM events
    WHERE chain = '-' AND position > (SELECT position - 50 FROM event_heads WHERE chain = '-')
      AND subject = 'user:' || NEW.id AND transaction = pg_current_xact_id()
      AND CASE kind
          WHEN 'user_profile_changed' THEN NEW.email IS NOT NULL AND details -> 'changed' ? 'email'
          WHEN 'address_released' THEN NEW.email IS NULL
          WHEN 'login_linked' THEN NEW.email IS NOT DISTINCT FROM OLD.email
          WHEN 'login_moved' THEN num_nonnulls(NEW.email, NEW.issuer, NEW.subject) = 0
          ELSE false END
  ) THEN
    RAISE EXCEPTION 'no event records this change of %', NEW.id USING
      ERRCODE = 'integrity_constraint_violation',
      CONSTRAINT = 'user_change_recorded',
      HINT = 'Change users through the application, which records an event.';
  END IF;
  RETURN NULL;
END $$;

-- The conditions of the next triggers are in the triggers, so a correct row costs no call of a function.

CREATE FUNCTION value_refused() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING
    ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
END $$;

-- An external id is the subject of the user's login. So the event of the login names it.

CREATE TRIGGER external_id_of_login BEFORE INSERT ON users FOR EACH ROW
WHEN (NEW.external_id IS NOT NULL AND NEW.external_id IS DISTINCT FROM NEW.subject)
EXECUTE FUNCTION value_refused('a new external id is the subject of the login of its user');
CREATE TRIGGER external_id_stays_of_login BEFORE UPDATE OF external_id ON users FOR EACH ROW
WHEN (NEW.external_id IS NOT NULL AND NEW.external_id IS DISTINCT FROM OLD.external_id
  AND NEW.external_id IS DISTINCT FROM NEW.subject)
EXECUTE FUNCTION value_refused('a new external id is the subject of the login of its user');

-- A new user is not signed out for years either.

CREATE TRIGGER new_user_not_ahead BEFORE INSERT ON users FOR EACH ROW
WHEN (greatest(NEW.created_at, NEW.tokens_valid_from, NEW.linked_at) > clock_timestamp() + '1 minute'::interval)
EXECUTE FUNCTION value_refused('a new user has no time that lies ahead of the clock');

-- The time since when somebody is an auditor is the time of the change.

CALL keep_time('auditors', 'granted_at');

-- A name does not change unseen with the deletion, whose event does not name it.

CREATE TRIGGER name_kept_at_deletion BEFORE UPDATE ON organizations FOR EACH ROW
WHEN (NEW.deleted_at IS NOT NULL AND NEW.name <> OLD.name)
EXECUTE FUNCTION value_refused('a deleted organization keeps its name');

-- A note of an early token stays until the token ends. Without it, the token would outlive a sign-out.

CREATE FUNCTION early_token_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the note of an early token stays until the token ends'
    USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER early_token_kept BEFORE DELETE ON early_tokens FOR EACH ROW
WHEN (OLD.expires_at > clock_timestamp())
EXECUTE FUNCTION early_token_kept();
CREATE TRIGGER early_token_end_kept BEFORE UPDATE ON early_tokens FOR EACH ROW
WHEN (NEW.expires_at < OLD.expires_at OR NEW.id <> OLD.id)
EXECUTE FUNCTION early_token_kept();

-- A refusal stops an organization only after the newest position that arrived, so an older one that somebody
-- planted stops nothing.

CREATE OR REPLACE FUNCTION ledger_lock(wanted text[]) RETURNS TABLE (
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
      AND position > coalesce(last.position, 0)
    ORDER BY position LIMIT 1) stop ON true
  WHERE heads.organization_id = ANY (wanted)
  ORDER BY heads.organization_id;
END $$;

REVOKE EXECUTE ON FUNCTION is_of_account, api_token_of_account, named_hash, value_refused, early_token_kept FROM PUBLIC;
