-- An entry changes its own organization ------------------------------------------------------------------

-- Each update is about a resource of the entry's organization: `organization:<id>` or `<type>:<id>/...`.

CREATE OR REPLACE FUNCTION ledger_append() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE head ledger_heads;
BEGIN
  IF EXISTS (
    SELECT FROM unnest(NEW.updates) AS line
    WHERE substring(line FROM '^(?:TOUCH|DELETE|RESTORE|PURGE) [a-z0-9_]+:([^#/ ]+)[#/]')
      IS DISTINCT FROM NEW.organization_id
  ) THEN
    RAISE EXCEPTION 'an entry of % changes only %', NEW.organization_id, NEW.organization_id USING
      ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_of_one_organization';
  END IF;
  SELECT * INTO STRICT head FROM ledger_heads
  WHERE organization_id = NEW.organization_id FOR NO KEY UPDATE;
  NEW.position := head.position + 1;
  NEW.previous_hash := head.hash;
  NEW.decided_at := greatest(clock_timestamp(), head.decided_at);
  NEW.hash := ledger_hash(NEW);
  UPDATE ledger_heads SET position = NEW.position, hash = NEW.hash, decided_at = NEW.decided_at
  WHERE organization_id = NEW.organization_id;
  RETURN NEW;
END $$;

-- A position that arrived before the newest one never becomes open again. Workers would claim it for ever, and
-- deliver nothing. The newest positions may become open, for example after a crash lost their status.

CREATE FUNCTION delivery_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (
    SELECT FROM ledger_applications AS open
    JOIN ledger_applications AS later USING (organization_id)
    WHERE open.organization_id = NEW.organization_id AND open.position = NEW.position
      AND open.status NOT IN ('applied', 'skipped')
      AND later.position > open.position AND later.status IN ('applied', 'skipped')
  ) THEN
    RAISE EXCEPTION 'position % of % arrived, and stays so', NEW.position, NEW.organization_id
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER delivery_kept AFTER UPDATE OF status ON ledger_applications
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (OLD.status IN ('applied', 'skipped') AND NEW.status NOT IN ('applied', 'skipped'))
EXECUTE FUNCTION delivery_kept();

-- Events name times in one way ---------------------------------------------------------------------------

-- Returns the time that an event names, NULL for a text that is not ISO 8601 with an offset. The settings of the
-- session do not change its meaning.

CREATE FUNCTION named_time(said text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
BEGIN
  IF said ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$' THEN
    RETURN said::timestamptz;
  END IF;
  RETURN NULL;
END $$;

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
            AND t.expires_at = named_time(said ->> 'expires_at'))
        OR (t.id = said ->> 'replaces' AND event.kind = 'token_rotated' AND t.revoked_at IS NULL
            AND t.expires_at = named_time(said ->> 'replaced_until')));
  WHEN event.kind = 'token_revoked' THEN
    RETURN QUERY SELECT 'api_token:' || t.organization_id || '/' || t.id, api_token_proof(t)
    FROM api_tokens t WHERE t.organization_id = event.chain AND event.subject = 'user:' || t.user_id
      AND is_of_account(t)
      AND t.id = said ->> 'token' AND t.revoked_at IS NOT NULL
      AND t.expires_at = named_time(said ->> 'expires_at');
  WHEN event.kind IN ('member_invited', 'invitation_resent', 'invitation_offer_changed') THEN
    RETURN QUERY SELECT kind || ':' || i.organization_id || '/' || i.id,
      CASE kind WHEN 'offer' THEN offer_proof(i) ELSE invitation_proof(i) END
    FROM invitations i, unnest(ARRAY['invitation', 'offer']) AS kind
    WHERE i.organization_id = event.chain AND event.subject = 'invitation:' || i.id
      AND (event.kind = 'invitation_offer_changed'
        OR i.expires_at = named_time(said ->> 'expires_at'))
      AND CASE WHEN event.kind = 'invitation_resent' THEN kind = 'invitation'
          ELSE said -> 'roles' = (
            SELECT coalesce(jsonb_agg(role ORDER BY role COLLATE "C"), '[]') FROM invitation_roles
            WHERE organization_id = i.organization_id AND invitation_id = i.id) END;
  WHEN event.kind = 'auditor_granted' AND event.chain = '-' THEN
    RETURN QUERY SELECT 'auditor:' || a.user_id, auditor_proof(a)
    FROM auditors a WHERE event.subject = 'user:' || a.user_id AND a.granted_by = event.actor
      AND a.reason_hash = event.reason_hash AND said ? 'until'
      AND CASE WHEN said ->> 'until' IS NULL THEN a.expires_at IS NULL
          ELSE a.expires_at = named_time(said ->> 'until') END;
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
          WHEN 'user_profile_changed' THEN said -> 'changed' ?| ARRAY['email', 'external_id']
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

-- The end of a suspended membership has an event -----------------------------------------------------------

-- A suspended membership stands for no relationship, so no entry shows that its end changes. Such a change needs an
-- event of its transaction that names the new end. The events of a transaction are the last ones of their chain.

CREATE FUNCTION membership_end_recorded() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.suspended_at IS NULL AND NOT EXISTS (
    SELECT FROM memberships
    WHERE organization_id = NEW.organization_id AND user_id = NEW.user_id AND suspended_at IS NOT NULL)
  THEN
    RETURN NULL;  -- an entry shows the change
  END IF;
  IF NOT EXISTS (
    SELECT FROM events
    WHERE chain = NEW.organization_id
      AND position > (SELECT position - 2000 FROM event_heads WHERE chain = NEW.organization_id)
      AND subject = 'user:' || NEW.user_id AND transaction = pg_current_xact_id()
      AND CASE kind
          WHEN 'membership_end_changed' THEN details ? 'after'
            AND (NEW.expires_at IS NULL) = (details ->> 'after' IS NULL)
            AND (NEW.expires_at IS NULL OR NEW.expires_at = named_time(details ->> 'after'))
          WHEN 'administrator_granted' THEN NEW.expires_at IS NULL
          ELSE false END
  ) THEN
    RAISE EXCEPTION 'no event records the end of the membership of %', NEW.user_id USING
      ERRCODE = 'integrity_constraint_violation',
      CONSTRAINT = 'membership_end_recorded',
      HINT = 'Change memberships through the application, which records an event.';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER membership_end_recorded AFTER UPDATE OF expires_at ON memberships
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.expires_at IS DISTINCT FROM NEW.expires_at)
EXECUTE FUNCTION membership_end_recorded();

-- Times --------------------------------------------------------------------------------------------------

UPDATE watch_cursor SET saved_at = NULL WHERE saved_at > clock_timestamp();

CREATE TRIGGER saved_not_ahead BEFORE INSERT OR UPDATE OF saved_at ON watch_cursor FOR EACH ROW
WHEN (NEW.saved_at > clock_timestamp() + '1 second'::interval)
EXECUTE FUNCTION value_refused('saved_at of watch_cursor lies ahead of the clock');

-- A transaction that stays open writes the times of the last quarter of an hour only. No change of the application
-- takes as long.

CREATE OR REPLACE PROCEDURE keep_time(source regclass, at name) LANGUAGE plpgsql AS $$
DECLARE condition text := 'NEW.%2$I NOT BETWEEN greatest(now(), clock_timestamp() - ''15 minutes''::interval)
  - ''1 second''::interval AND clock_timestamp() + ''1 minute''::interval';
BEGIN
  EXECUTE format('DROP TRIGGER IF EXISTS %2$s_now ON %1$s', source, at);
  EXECUTE format('DROP TRIGGER IF EXISTS %2$s_kept ON %1$s', source, at);
  EXECUTE format('CREATE TRIGGER %2$s_now BEFORE INSERT ON %1$s FOR EACH ROW
    WHEN (' || condition || ') EXECUTE FUNCTION not_backdated(%2$L)', source, at);
  EXECUTE format('CREATE TRIGGER %2$s_kept BEFORE UPDATE OF %2$I ON %1$s FOR EACH ROW
    WHEN (NEW.%2$I IS DISTINCT FROM OLD.%2$I AND ' || condition || ')
    EXECUTE FUNCTION not_backdated(%2$L)', source, at);
END $$;

CALL keep_time('auditors', 'granted_at');
CALL keep_time('memberships', 'joined_at');
CALL keep_time('memberships', 'suspended_at');
CALL keep_time('role_assignments', 'granted_at');
CALL keep_time('team_memberships', 'joined_at');
CALL keep_time('team_roles', 'granted_at');
CALL keep_time('grants', 'granted_at');
CALL keep_time('resources', 'registered_at');

-- A run is judged by the newest position of its ledger. An older snapshot would show an older one.

CREATE OR REPLACE FUNCTION run_possible() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE newest bigint; running boolean := false;
BEGIN
  SELECT position INTO newest FROM ledger_heads WHERE organization_id = NEW.organization_id;
  IF NEW.transaction ~ '^[0-9]{1,19}$' THEN
    BEGIN
      running := pg_xact_status(NEW.transaction::xid8) = 'in progress';
    EXCEPTION WHEN invalid_parameter_value THEN NULL;  -- a transaction of the future
    END;
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed'
    OR (NEW.kind IN ('rebuild', 'close') AND NEW.position IS DISTINCT FROM newest)
    OR (NEW.kind IN ('rebuild', 'close', 'purge') AND running IS NOT TRUE)
    OR (NEW.kind = 'purge' AND NEW.position <> 0)
    OR (NEW.kind IN ('ahead', 'renewal', 'skip', 'redelivery')
      AND (NEW.position NOT BETWEEN 1 AND coalesce(newest, 0) OR NEW.transaction IS NOT NULL))
  THEN
    RAISE EXCEPTION 'a run stays at the position of its ledger, and its transaction is running'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

REVOKE EXECUTE ON FUNCTION delivery_kept, named_time, membership_end_recorded FROM PUBLIC;
