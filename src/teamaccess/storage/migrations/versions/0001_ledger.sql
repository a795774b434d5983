-- What PostgreSQL itself guarantees: it notes every change to a source table, it refuses a commit that leaves a
-- note, and it keeps both chains dense, ordered, hashed and immutable. The functions run with the rights of the
-- tables' owner. The application's role owns nothing and cannot write notes, heads, positions or hashes.

-- Notes ------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_note() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD IS NOT DISTINCT FROM NEW THEN
    RETURN NULL;
  END IF;
  INSERT INTO ledger_notes (source, before, after) VALUES (
    TG_TABLE_NAME,
    CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
    CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
  RETURN NULL;
END $$;

CREATE FUNCTION ledger_note_left_behind() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM ledger_notes WHERE id = NEW.id) THEN
    RAISE EXCEPTION 'a change to % would not reach the ledger', NEW.source USING
      ERRCODE = 'integrity_constraint_violation',
      CONSTRAINT = 'ledger_note_left_behind',
      HINT = 'Change rows that mean access through the application.';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_note_left_behind AFTER INSERT ON ledger_notes
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_note_left_behind();

CREATE FUNCTION ledger_drain() RETURNS TABLE (source text, before jsonb, after jsonb)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  DELETE FROM ledger_notes WHERE transaction = pg_current_xact_id() RETURNING source, before, after
$$;

-- Refusals ---------------------------------------------------------------------------------------

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: it would go round the ledger', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER ledger_immutable BEFORE UPDATE OR DELETE ON ledger
FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER ledger_not_truncated BEFORE TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER events_immutable BEFORE UPDATE OR DELETE ON events
FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER events_not_truncated BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse();

-- The ledger's chain -----------------------------------------------------------------------------

CREATE FUNCTION chain_time(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

CREATE FUNCTION ledger_hash(entry ledger) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(convert_to(array_to_string(ARRAY[
    'ledger/1', entry.organization_id, entry.position::text, encode(entry.previous_hash, 'hex'),
    chain_time(entry.decided_at), entry.actor, entry.channel, entry.request_id,
    entry.catalog_version, coalesce(encode(entry.reason_hash, 'hex'), '')
  ] || entry.updates, E'\n'), 'UTF8'))
$$;

CREATE FUNCTION ledger_head() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO ledger_heads (organization_id, position, hash, decided_at)
  VALUES (NEW.id, 0, sha256(convert_to('ledger/1' || E'\n' || NEW.id, 'UTF8')), clock_timestamp());
  RETURN NULL;
END $$;

CREATE TRIGGER ledger_head AFTER INSERT ON organizations
FOR EACH ROW EXECUTE FUNCTION ledger_head();

CREATE FUNCTION ledger_append() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE head ledger_heads;
BEGIN
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

CREATE TRIGGER ledger_append BEFORE INSERT ON ledger
FOR EACH ROW EXECUTE FUNCTION ledger_append();

CREATE FUNCTION ledger_application() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO ledger_applications (organization_id, position)
  VALUES (NEW.organization_id, NEW.position);
  RETURN NULL;
END $$;

CREATE TRIGGER ledger_application AFTER INSERT ON ledger
FOR EACH ROW EXECUTE FUNCTION ledger_application();

-- Locks the organizations in the order of their ids. Returns for each its newest position, the newest position
-- that SpiceDB has with its ZedToken, and the refusal that stopped it, if any.
CREATE FUNCTION ledger_lock(wanted text[]) RETURNS TABLE (
  organization_id text, head bigint, hash bytea, now timestamptz,
  applied bigint, zed_token text, refusal text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM FROM ledger_heads WHERE organization_id = ANY (wanted)
  ORDER BY organization_id FOR NO KEY UPDATE;
  RETURN QUERY
  SELECT heads.organization_id, heads.position, heads.hash,
         greatest(clock_timestamp(), heads.decided_at),
         coalesce(last.position, 0), last.zed_token, stop.refusal
  FROM ledger_heads heads
  JOIN organizations ON organizations.id = heads.organization_id AND deleted_at IS NULL
  LEFT JOIN LATERAL (
    SELECT position, zed_token FROM ledger_applications
    WHERE organization_id = heads.organization_id AND status = 'applied'
    ORDER BY position DESC LIMIT 1) last ON true
  LEFT JOIN LATERAL (
    SELECT refusal FROM ledger_applications
    WHERE organization_id = heads.organization_id AND status = 'refused'
    ORDER BY position LIMIT 1) stop ON true
  WHERE heads.organization_id = ANY (wanted)
  ORDER BY heads.organization_id;
END $$;

-- The events' chains -----------------------------------------------------------------------------

CREATE FUNCTION event_hash(entry events) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(convert_to(array_to_string(ARRAY[
    'events/1', entry.chain, entry.position::text, encode(entry.previous_hash, 'hex'),
    chain_time(entry.occurred_at), entry.kind, entry.actor, entry.channel, entry.request_id,
    coalesce(entry.subject, ''), coalesce(encode(entry.reason_hash, 'hex'), ''),
    entry.details::text
  ], E'\n'), 'UTF8'))
$$;

CREATE FUNCTION event_append() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE head event_heads;
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
  NEW.hash := event_hash(NEW);
  UPDATE event_heads SET position = NEW.position, hash = NEW.hash WHERE chain = NEW.chain;
  RETURN NEW;
END $$;

CREATE TRIGGER event_append BEFORE INSERT ON events
FOR EACH ROW EXECUTE FUNCTION event_append();

-- The source tables ------------------------------------------------------------------------------

CREATE TRIGGER ledger_note AFTER INSERT OR UPDATE OR DELETE ON memberships
FOR EACH ROW EXECUTE FUNCTION ledger_note();
CREATE TRIGGER ledger_note AFTER INSERT OR UPDATE OR DELETE ON role_assignments
FOR EACH ROW EXECUTE FUNCTION ledger_note();
CREATE TRIGGER ledger_note AFTER INSERT OR UPDATE OR DELETE ON invitations
FOR EACH ROW EXECUTE FUNCTION ledger_note();

CREATE TRIGGER not_truncated BEFORE TRUNCATE ON memberships
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON role_assignments
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON invitations
FOR EACH STATEMENT EXECUTE FUNCTION refuse();
