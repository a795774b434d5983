-- More kinds of rows are attested ----------------------------------------------------------------------

-- Who somebody is: the login and the external id, with the address and the time of the link.

CREATE FUNCTION identity_proof(login users) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['identity/1', login.id, login.email, login.external_id, login.issuer,
    login.subject, login.service_account_of, chain_time(login.linked_at)])
$$;

-- What an invitation offers, and its recipient. Sending it again does not attest this, so an offer cannot change
-- without an event that lists its roles.

CREATE FUNCTION offer_proof(invitation invitations) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['offer/1', invitation.organization_id, invitation.id,
    invitation.email, invitation.invitee] ||
    ARRAY(SELECT role FROM invitation_roles
          WHERE organization_id = invitation.organization_id AND invitation_id = invitation.id
          ORDER BY role COLLATE "C"))
$$;

CREATE FUNCTION schema_proof(version schema_versions) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['schema/1', chain_time(version.applied_at), version.catalog_version,
    version.catalog::text, version.schema, version.zed_token, version.applied_by])
$$;

CREATE FUNCTION organization_proof(organization organizations) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['organization/1', organization.id, organization.name, organization.founded_by,
    chain_time(organization.created_at), chain_time(organization.deleted_at)])
$$;

CREATE OR REPLACE FUNCTION attestable_rows() RETURNS TABLE (key text, chain text, proof text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT 'api_token:' || organization_id || '/' || id, organization_id,
    api_token_proof(api_tokens) FROM api_tokens
  UNION ALL
  SELECT kind || ':' || organization_id || '/' || id, organization_id,
    CASE kind WHEN 'offer' THEN offer_proof(invitations) ELSE invitation_proof(invitations) END
  FROM invitations, unnest(ARRAY['invitation', 'offer']) AS kind
  WHERE accepted_at IS NULL AND cancelled_at IS NULL AND lapsed_at IS NULL
  UNION ALL
  SELECT 'auditor:' || user_id, '-', auditor_proof(auditors) FROM auditors
  UNION ALL
  SELECT 'finding:' || findings.id,
    coalesce((SELECT id FROM organizations WHERE id = findings.organization_id), '-'),
    finding_proof(findings) FROM findings WHERE resolved_by IS NOT NULL
  UNION ALL
  SELECT 'login:' || id, '-', login_proof(users) FROM users WHERE issuer IS NOT NULL
  UNION ALL
  SELECT 'identity:' || id, '-', identity_proof(users) FROM users
  WHERE issuer IS NOT NULL OR external_id IS NOT NULL OR linked_at IS NOT NULL
  UNION ALL
  SELECT 'schema:' || chain_time(applied_at), '-', schema_proof(schema_versions) FROM schema_versions
  UNION ALL
  SELECT 'organization:' || id, id, organization_proof(organizations) FROM organizations
$$;

-- Existing rows are attested as they are. An offer outlives its lapsed invitation, which can be sent again.

INSERT INTO attested_rows (key, chain, position, proof)
SELECT key, chain, 0, proof FROM attestable_rows()
WHERE split_part(key, ':', 1) IN ('identity', 'schema', 'organization')
UNION ALL
SELECT 'offer:' || organization_id || '/' || id, organization_id, 0, offer_proof(invitations)
FROM invitations WHERE accepted_at IS NULL AND cancelled_at IS NULL;

-- An event attests a row only if its details describe the row --------------------------------------------

CREATE OR REPLACE FUNCTION rows_told_of(event events) RETURNS TABLE (key text, proof text)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE said jsonb := event.details; about text := substring(event.subject FROM '^[a-z_]+:(.*)$');
BEGIN
  CASE
  WHEN event.kind IN ('token_created', 'token_rotated') THEN
    RETURN QUERY SELECT 'api_token:' || t.organization_id || '/' || t.id, api_token_proof(t)
    FROM api_tokens t WHERE t.organization_id = event.chain AND event.subject = 'user:' || t.user_id
      AND ((t.id = said ->> 'token' AND t.created_by = event.actor AND t.revoked_at IS NULL
            AND t.expires_at = (said ->> 'expires_at')::timestamptz)
        OR (t.id = said ->> 'replaces' AND event.kind = 'token_rotated' AND t.revoked_at IS NULL
            AND t.expires_at = (said ->> 'replaced_until')::timestamptz));
  WHEN event.kind = 'token_revoked' THEN
    RETURN QUERY SELECT 'api_token:' || t.organization_id || '/' || t.id, api_token_proof(t)
    FROM api_tokens t WHERE t.organization_id = event.chain AND event.subject = 'user:' || t.user_id
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
      AND a.reason_hash = event.reason_hash
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
    WHERE event.subject = 'user:' || u.id AND u.issuer = said ->> 'issuer';
  WHEN event.kind IN ('user_profile_changed', 'address_released', 'login_moved') AND event.chain = '-' THEN
    RETURN QUERY SELECT 'identity:' || u.id, identity_proof(u)
    FROM users u WHERE event.subject = 'user:' || u.id
      AND CASE event.kind
          WHEN 'user_profile_changed' THEN said -> 'changed' ? 'email'
            AND (u.external_id IS NULL OR u.external_id IS NOT DISTINCT FROM u.subject)
          WHEN 'address_released' THEN u.email IS NULL
          ELSE u.issuer IS NULL END;
  WHEN event.kind = 'schema_applied' AND event.chain = '-' THEN
    RETURN QUERY SELECT 'schema:' || chain_time(v.applied_at), schema_proof(v)
    FROM schema_versions v WHERE event.subject = 'schema:' || v.catalog_version
      AND v.applied_by = event.actor
      AND NOT EXISTS (SELECT FROM attested_rows WHERE attested_rows.key = 'schema:' || chain_time(v.applied_at));
  WHEN event.kind IN ('organization_created', 'organization_renamed', 'organization_deleted') THEN
    RETURN QUERY SELECT 'organization:' || o.id, organization_proof(o)
    FROM organizations o WHERE o.id = event.chain AND about = o.id
      AND (o.deleted_at IS NOT NULL) = (event.kind = 'organization_deleted');
  ELSE NULL;
  END CASE;
END $$;

CREATE OR REPLACE FUNCTION row_attested() RETURNS trigger
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
  WHEN 'identity' THEN
    wanted := 'identity:' || NEW.id;
    SELECT identity_proof(u) INTO found FROM users u WHERE u.id = NEW.id;
  WHEN 'schema' THEN
    wanted := 'schema:' || chain_time(NEW.applied_at);
    SELECT schema_proof(v) INTO found FROM schema_versions v WHERE v.applied_at = NEW.applied_at;
  WHEN 'organization' THEN
    wanted := 'organization:' || NEW.id;
    SELECT organization_proof(o) INTO found FROM organizations o WHERE o.id = NEW.id;
  END CASE;
  SELECT proof INTO attested FROM attested_rows WHERE key = wanted;
  IF found IS NOT NULL AND found IS DISTINCT FROM attested THEN
    RAISE EXCEPTION '% is not as the newest event about it says', wanted USING
      ERRCODE = 'integrity_constraint_violation',
      CONSTRAINT = 'row_attested',
      HINT = 'Change such rows through the application, which records an event.';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER identity_attested
AFTER INSERT OR UPDATE OF id, email, external_id, issuer, subject, service_account_of, linked_at ON users
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.issuer IS NOT NULL OR NEW.external_id IS NOT NULL OR NEW.linked_at IS NOT NULL)
EXECUTE FUNCTION row_attested('identity');
CREATE CONSTRAINT TRIGGER row_attested AFTER INSERT ON schema_versions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_attested('schema');
CREATE CONSTRAINT TRIGGER row_attested AFTER UPDATE ON organizations
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_attested('organization');

-- An invitation is accepted only if both of its attestations match.

CREATE OR REPLACE FUNCTION invitation_attested(wanted_organization text, wanted_id text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM invitations AS i
    JOIN attested_rows AS sent ON sent.key = 'invitation:' || i.organization_id || '/' || i.id
    JOIN attested_rows AS offer ON offer.key = 'offer:' || i.organization_id || '/' || i.id
    WHERE i.organization_id = wanted_organization AND i.id = wanted_id
      AND sent.proof = invitation_proof(i) AND offer.proof = offer_proof(i))
$$;

-- The attestation of a token ends with the row too, for example when its service account is deleted.

CREATE OR REPLACE FUNCTION attestation_ends() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE gone jsonb := to_jsonb(OLD); local_id text := (gone ->> 'organization_id') || '/' || (gone ->> 'id');
BEGIN
  DELETE FROM attested_rows WHERE key = CASE TG_ARGV[0]
    WHEN 'auditor' THEN 'auditor:' || (gone ->> 'user_id')
    ELSE TG_ARGV[0] || ':' || local_id END;
  RETURN NULL;
END $$;

CREATE TRIGGER attestation_ends AFTER DELETE ON api_tokens
FOR EACH ROW EXECUTE FUNCTION attestation_ends('api_token');
CREATE TRIGGER offer_ends AFTER DELETE ON invitations
FOR EACH ROW EXECUTE FUNCTION attestation_ends('offer');
CREATE TRIGGER offer_ends_with_answer AFTER UPDATE OF accepted_at, cancelled_at ON invitations
FOR EACH ROW WHEN (NEW.accepted_at IS NOT NULL OR NEW.cancelled_at IS NOT NULL)
EXECUTE FUNCTION attestation_ends('offer');

-- What a deleted organization was, and what a founder did, stays ------------------------------------------

CREATE FUNCTION organization_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'a deleted organization stays deleted, and the origin of an organization stays what it is'
    USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER organization_kept BEFORE UPDATE ON organizations FOR EACH ROW
WHEN ((OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS DISTINCT FROM OLD.deleted_at)
  OR NEW.created_at <> OLD.created_at OR NEW.founded_by IS DISTINCT FROM OLD.founded_by)
EXECUTE FUNCTION organization_kept();

-- The times of rows are the times of their changes ---------------------------------------------------------

-- These times are shown to auditors and give no access, so no ledger entry contains them. The condition is in
-- the trigger, so a correct row costs no call of the function.

CREATE FUNCTION not_backdated() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is not the time of this change', TG_ARGV[0], TG_TABLE_NAME USING
    ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'not_backdated';
END $$;

CREATE PROCEDURE keep_time(source regclass, at name) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER %2$s_now BEFORE INSERT ON %1$s FOR EACH ROW
    WHEN (NEW.%2$I NOT BETWEEN now() - ''1 second''::interval AND clock_timestamp() + ''1 minute''::interval)
    EXECUTE FUNCTION not_backdated(%2$L)', source, at);
  EXECUTE format('CREATE TRIGGER %2$s_kept BEFORE UPDATE OF %2$I ON %1$s FOR EACH ROW
    WHEN (NEW.%2$I IS DISTINCT FROM OLD.%2$I
      AND NEW.%2$I NOT BETWEEN now() - ''1 second''::interval AND clock_timestamp() + ''1 minute''::interval)
    EXECUTE FUNCTION not_backdated(%2$L)', source, at);
END $$;

CALL keep_time('memberships', 'joined_at');
CALL keep_time('memberships', 'suspended_at');
CALL keep_time('role_assignments', 'granted_at');
CALL keep_time('team_memberships', 'joined_at');
CALL keep_time('team_roles', 'granted_at');
CALL keep_time('grants', 'granted_at');
CALL keep_time('resources', 'registered_at');

-- Runs and what was watched ----------------------------------------------------------------------------

-- A rebuild writes the newest state only. A run at an older position would explain access that was taken away.

CREATE FUNCTION run_possible() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE newest bigint;
BEGIN
  SELECT position INTO newest FROM ledger_heads WHERE organization_id = NEW.organization_id;
  IF (NEW.kind IN ('rebuild', 'close')
      AND (NEW.position IS DISTINCT FROM newest OR NEW.transaction IS NULL))
    OR (NEW.kind IN ('ahead', 'renewal', 'skip')
      AND NEW.position NOT BETWEEN 1 AND coalesce(newest, 0))
  THEN
    RAISE EXCEPTION 'a run stays at the position of its ledger' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER run_possible BEFORE INSERT ON engine_runs
FOR EACH ROW EXECUTE FUNCTION run_possible();

CREATE FUNCTION engine_run_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'a settled run stays settled, and a run never empties after it began to fill'
    USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER engine_run_kept BEFORE UPDATE ON engine_runs FOR EACH ROW
WHEN ((OLD.settled_at IS NOT NULL AND NEW IS DISTINCT FROM OLD)
  OR (OLD.over_at IS NOT NULL AND NEW.over_at IS DISTINCT FROM OLD.over_at)
  OR (OLD.phase = 'filling' AND NEW.phase <> 'filling'))
EXECUTE FUNCTION engine_run_kept();

-- A watcher that begins at the present may step back to entries of the last seconds, and never further. An
-- older position would let an old history be written again.

CREATE FUNCTION watched_ledger_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  NEW.position := least(OLD.position, greatest(NEW.position, (
    SELECT coalesce(max(position), 0) FROM ledger WHERE organization_id = OLD.organization_id
      AND decided_at < clock_timestamp() - '10 minutes'::interval)));
  RETURN NEW;
END $$;

CREATE TRIGGER watched_ledger_kept BEFORE UPDATE ON watched_ledgers
FOR EACH ROW WHEN (NEW.position < OLD.position) EXECUTE FUNCTION watched_ledger_kept();

-- A delivery waits for seconds. A later time would keep an entry from the workers.

CREATE FUNCTION delivery_not_postponed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'due_at of ledger_applications lies ahead of the clock' USING
    ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'not_ahead';
END $$;

CREATE TRIGGER delivery_not_postponed BEFORE UPDATE OF due_at ON ledger_applications
FOR EACH ROW WHEN (NEW.due_at > clock_timestamp() + '5 minutes'::interval)
EXECUTE FUNCTION delivery_not_postponed();

REVOKE EXECUTE ON FUNCTION
  identity_proof, offer_proof, schema_proof, organization_proof, organization_kept, not_backdated,
  run_possible, engine_run_kept, watched_ledger_kept, delivery_not_postponed
  FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE keep_time FROM PUBLIC;
