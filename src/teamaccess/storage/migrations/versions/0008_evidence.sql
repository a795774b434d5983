-- Runs ---------------------------------------------------------------------------------------------

-- What a run may write never changes. Only its progress does, which the watcher records.

GRANT SELECT ON engine_runs, watched_ledgers TO teamaccess;
GRANT INSERT (kind, organization_id, position, request_id, transaction, phase) ON engine_runs TO teamaccess;
GRANT UPDATE (phase, over_at, settled_at) ON engine_runs TO teamaccess;
GRANT INSERT, UPDATE (position) ON watched_ledgers TO teamaccess;

-- The transaction of an entry ----------------------------------------------------------------------

-- A ledger entry and the event about it have the same transaction. The transaction is not part of the hash, and
-- only PostgreSQL sets it. Entries from before this migration have none.

ALTER TABLE ledger ADD COLUMN transaction xid8;
ALTER TABLE ledger ALTER COLUMN transaction SET DEFAULT pg_current_xact_id();
ALTER TABLE events ADD COLUMN transaction xid8;
ALTER TABLE events ALTER COLUMN transaction SET DEFAULT pg_current_xact_id();

-- The proof of a row -----------------------------------------------------------------------------------

-- The hash of all columns of a row that give access or trust. It includes hashes of random secrets, so nobody
-- can guess an e-mail address from it.

CREATE FUNCTION row_proof(parts text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT encode(sha256(convert_to(array_to_string(parts, E'\n', ''), 'UTF8')), 'hex')
$$;

CREATE FUNCTION api_token_proof(token api_tokens) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['api_token/1', token.organization_id, token.id, token.user_id,
    encode(token.hash, 'hex'), token.created_by, chain_time(token.expires_at),
    chain_time(token.revoked_at)])
$$;

CREATE FUNCTION invitation_proof(invitation invitations) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['invitation/1', invitation.organization_id, invitation.id,
    invitation.email, invitation.invitee, encode(invitation.token_hash, 'hex'),
    invitation.invited_by, chain_time(invitation.expires_at)] ||
    ARRAY(SELECT role FROM invitation_roles
          WHERE organization_id = invitation.organization_id AND invitation_id = invitation.id
          ORDER BY role COLLATE "C"))
$$;

CREATE FUNCTION auditor_proof(auditor auditors) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['auditor/1', auditor.user_id, auditor.granted_by,
    chain_time(auditor.granted_at), encode(auditor.reason_hash, 'hex'),
    chain_time(auditor.expires_at)])
$$;

CREATE FUNCTION finding_proof(finding findings) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['finding/1', finding.id::text, finding.kind, finding.organization_id,
    encode(finding.fingerprint, 'hex'), finding.resolved_by, chain_time(finding.resolved_at)])
$$;

CREATE FUNCTION login_proof(login users) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['login/1', login.id, login.issuer, login.subject])
$$;

-- Every row that must match the newest event about it, with the chain of that event.

CREATE FUNCTION attestable_rows() RETURNS TABLE (key text, chain text, proof text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT 'api_token:' || organization_id || '/' || id, organization_id,
    api_token_proof(api_tokens) FROM api_tokens
  UNION ALL
  SELECT 'invitation:' || organization_id || '/' || id, organization_id,
    invitation_proof(invitations) FROM invitations
  WHERE accepted_at IS NULL AND cancelled_at IS NULL AND lapsed_at IS NULL
  UNION ALL
  SELECT 'auditor:' || user_id, '-', auditor_proof(auditors) FROM auditors
  UNION ALL
  SELECT 'finding:' || findings.id,
    coalesce((SELECT id FROM organizations WHERE id = findings.organization_id), '-'),
    finding_proof(findings) FROM findings WHERE resolved_by IS NOT NULL
  UNION ALL
  SELECT 'login:' || id, '-', login_proof(users) FROM users WHERE issuer IS NOT NULL
$$;

GRANT SELECT ON attested_rows TO teamaccess;

-- Existing rows are attested as they are.

INSERT INTO attested_rows (key, chain, position, proof)
SELECT key, chain, 0, proof FROM attestable_rows();

-- The attestations in events --------------------------------------------------------------------------

-- The rows that an event is about, with their proofs at that moment.

CREATE FUNCTION rows_told_of(event events) RETURNS TABLE (key text, proof text)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
  CASE
  WHEN event.kind IN ('token_created', 'token_rotated', 'token_revoked') THEN
    RETURN QUERY SELECT 'api_token:' || t.organization_id || '/' || t.id, api_token_proof(t)
    FROM api_tokens t WHERE t.organization_id = event.chain
      AND t.id IN (event.details ->> 'token', event.details ->> 'replaces');
  WHEN event.kind IN ('member_invited', 'invitation_resent', 'invitation_offer_changed') THEN
    RETURN QUERY SELECT 'invitation:' || i.organization_id || '/' || i.id, invitation_proof(i)
    FROM invitations i WHERE i.organization_id = event.chain
      AND event.subject = 'invitation:' || i.id;
  WHEN event.kind = 'auditor_granted' AND event.chain = '-' THEN
    RETURN QUERY SELECT 'auditor:' || a.user_id, auditor_proof(a)
    FROM auditors a WHERE event.subject = 'user:' || a.user_id;
  WHEN event.kind = 'finding_resolved' THEN
    RETURN QUERY SELECT 'finding:' || f.id, finding_proof(f)
    FROM findings f WHERE f.id = substring(event.subject FROM '^finding:([0-9]{1,18})$')::bigint
      AND f.resolved_by = event.actor AND event.chain IN (f.organization_id, '-');
  WHEN event.kind = 'login_linked' AND event.chain = '-' THEN
    RETURN QUERY SELECT 'login:' || u.id, login_proof(u)
    FROM users u WHERE u.id = substring(event.subject FROM '^user:(.*)$') AND u.issuer IS NOT NULL;
  ELSE NULL;
  END CASE;
END $$;

CREATE OR REPLACE FUNCTION event_append() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE head event_heads; attests jsonb;
BEGIN
  SELECT * INTO head FROM event_heads WHERE chain = NEW.chain FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    INSERT INTO event_heads (chain, position, hash)
    VALUES (NEW.chain, 0, sha256(convert_to('events/1' || E'\n' || NEW.chain, 'UTF8')))
    ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT head FROM event_heads WHERE chain = NEW.chain FOR NO KEY UPDATE;
  END IF;
  NEW.position := head.position + 1;
  NEW.previous_hash := head.hash;
  NEW.occurred_at := clock_timestamp();
  SELECT jsonb_object_agg(key, proof) INTO attests FROM rows_told_of(NEW);
  NEW.details := NEW.details - 'attests';
  IF attests IS NOT NULL THEN
    NEW.details := NEW.details || jsonb_build_object('attests', attests);
    INSERT INTO attested_rows (key, chain, position, proof)
    SELECT each.key, NEW.chain, NEW.position, each.value FROM jsonb_each_text(attests) AS each
    ORDER BY each.key
    ON CONFLICT (key) DO UPDATE
    SET chain = excluded.chain, position = excluded.position, proof = excluded.proof;
  END IF;
  NEW.hash := event_hash(NEW);
  UPDATE event_heads SET position = NEW.position, hash = NEW.hash WHERE chain = NEW.chain;
  RETURN NEW;
END $$;

-- Changes that are refused without an event ------------------------------------------------------------

-- Refuses a transaction with a row that does not match the newest event about it. TG_ARGV[0] is the kind of row.
-- The row is checked at the end of the transaction.

CREATE FUNCTION row_attested() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE wanted text; found text; attested text;
BEGIN
  CASE TG_ARGV[0]
  WHEN 'api_token' THEN
    wanted := 'api_token:' || NEW.organization_id || '/' || NEW.id;
    SELECT api_token_proof(t) INTO found FROM api_tokens t
    WHERE t.organization_id = NEW.organization_id AND t.id = NEW.id;
  WHEN 'invitation' THEN
    wanted := 'invitation:' || NEW.organization_id || '/' || NEW.id;
    SELECT invitation_proof(i) INTO found FROM invitations i
    WHERE i.organization_id = NEW.organization_id AND i.id = NEW.id
      AND accepted_at IS NULL AND cancelled_at IS NULL AND lapsed_at IS NULL;
  WHEN 'auditor' THEN
    wanted := 'auditor:' || NEW.user_id;
    SELECT auditor_proof(a) INTO found FROM auditors a WHERE a.user_id = NEW.user_id;
  WHEN 'finding' THEN
    wanted := 'finding:' || NEW.id;
    SELECT finding_proof(f) INTO found FROM findings f
    WHERE f.id = NEW.id AND f.resolved_by IS NOT NULL;
  WHEN 'login' THEN
    wanted := 'login:' || NEW.id;
    SELECT login_proof(u) INTO found FROM users u WHERE u.id = NEW.id AND u.issuer IS NOT NULL;
  END CASE;
  SELECT proof INTO attested FROM attested_rows WHERE key = wanted;
  IF found IS NOT NULL AND found IS DISTINCT FROM attested THEN
    RAISE EXCEPTION '% is not as the newest event about it says', wanted USING
      ERRCODE = 'integrity_constraint_violation',
      CONSTRAINT = 'row_attested',
      HINT = 'Change such rows through the application, which tells of it.';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER row_attested AFTER INSERT OR UPDATE
  OF organization_id, id, user_id, hash, created_by, expires_at, revoked_at ON api_tokens
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_attested('api_token');
CREATE CONSTRAINT TRIGGER row_attested AFTER UPDATE
  OF organization_id, id, email, invitee, token_hash, invited_by ON invitations
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_attested('invitation');
CREATE CONSTRAINT TRIGGER row_attested AFTER INSERT OR UPDATE ON auditors
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_attested('auditor');
CREATE CONSTRAINT TRIGGER row_attested AFTER INSERT OR UPDATE OF resolved_at, resolved_by ON findings
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_attested('finding');
CREATE CONSTRAINT TRIGGER row_attested AFTER INSERT OR UPDATE OF id, issuer, subject ON users
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.issuer IS NOT NULL) EXECUTE FUNCTION row_attested('login');

-- Changes that are always refused ----------------------------------------------------------------------

CREATE FUNCTION not_ahead() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE at timestamptz;
BEGIN
  at := (to_jsonb(NEW) ->> TG_ARGV[0])::timestamptz;
  IF at > clock_timestamp() + '1 second'::interval THEN
    RAISE EXCEPTION '% of % lies ahead of the clock', TG_ARGV[0], TG_TABLE_NAME USING
      ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'not_ahead';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER checked_not_ahead BEFORE INSERT OR UPDATE OF checked_at ON reconciliations
FOR EACH ROW EXECUTE FUNCTION not_ahead('checked_at');
CREATE TRIGGER asked_not_ahead BEFORE INSERT OR UPDATE OF asked_at ON reconciliations
FOR EACH ROW EXECUTE FUNCTION not_ahead('asked_at');
CREATE TRIGGER resolved_not_ahead BEFORE UPDATE OF resolved_at ON findings
FOR EACH ROW EXECUTE FUNCTION not_ahead('resolved_at');
CREATE TRIGGER used_not_ahead BEFORE UPDATE OF last_used_at ON api_tokens
FOR EACH ROW EXECUTE FUNCTION not_ahead('last_used_at');

-- A revoked token stays revoked, and the end of a token is never extended.

CREATE FUNCTION api_token_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.expires_at > OLD.expires_at
    OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
  THEN
    RAISE EXCEPTION 'a token ends when it was said to end, or sooner'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER api_token_kept BEFORE UPDATE OF expires_at, revoked_at ON api_tokens
FOR EACH ROW EXECUTE FUNCTION api_token_kept();

-- A user's login never changes, and ended sessions stay ended.

CREATE FUNCTION user_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (OLD.issuer IS NOT NULL AND (OLD.issuer, OLD.subject) IS DISTINCT FROM (NEW.issuer, NEW.subject))
    OR NEW.tokens_valid_from < OLD.tokens_valid_from
  THEN
    RAISE EXCEPTION 'a login stays whose it is, and ended sessions stay ended'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER user_kept BEFORE UPDATE OF issuer, subject, tokens_valid_from ON users
FOR EACH ROW EXECUTE FUNCTION user_kept();

REVOKE UPDATE ON users FROM teamaccess;
GRANT UPDATE (name, tokens_valid_from, issuer, subject, external_id) ON users TO teamaccess;
REVOKE UPDATE, DELETE ON api_tokens FROM teamaccess;
GRANT UPDATE (expires_at, last_used_at, revoked_at) ON api_tokens TO teamaccess;

REVOKE EXECUTE ON FUNCTION
  row_proof, api_token_proof, invitation_proof, auditor_proof, finding_proof, login_proof,
  attestable_rows, rows_told_of, row_attested, not_ahead, api_token_kept, user_kept
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION attestable_rows TO teamaccess;
