-- Rows that no reader understands are removed. The application never wrote such rows.

CREATE FUNCTION readable(at timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT at IS NULL OR (at >= '1970-01-01T00:00:00Z' AND at < '10000-01-01T00:00:00Z')
$$;

DELETE FROM engine_runs
WHERE kind NOT IN ('rebuild', 'close', 'purge', 'ahead', 'renewal', 'skip', 'redelivery')
  OR phase NOT IN ('emptying', 'filling')
  OR NOT (readable(begun_at) AND readable(ends_at) AND readable(over_at) AND readable(settled_at));
DELETE FROM watched_writes WHERE NOT readable(checked_at);
UPDATE watch_cursor SET saved_at = NULL WHERE NOT readable(saved_at);
UPDATE reconciliations SET checked_at = '1970-01-01T00:00:00Z' WHERE NOT readable(checked_at);
UPDATE reconciliations SET asked_at = NULL WHERE NOT readable(asked_at);
UPDATE findings SET resolved_at = NULL WHERE resolved_by IS NULL AND NOT readable(resolved_at);
-- A finding of an unknown kind is a planted one, which an operator has to look at.
UPDATE findings SET kind = 'foreign_write', resolved_at = NULL
WHERE kind NOT IN ('drift', 'foreign_write', 'foreign_schema', 'unwatched', 'other_history');

SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
DROP FUNCTION readable;

-- A run that writes under a lock names the transaction that holds it, and this transaction is running. So a
-- run cannot be planted for a later time. A redelivery is at a position of its ledger, as others are.

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
  IF (NEW.kind IN ('rebuild', 'close') AND NEW.position IS DISTINCT FROM newest)
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

-- The newest position that was watched never goes back, and never past the ledger. Watch may report writes
-- again, but those are known by their tokens (watched_writes). An older position would let a run or a write
-- explain access that was taken away since. A later one would make real changes foreign.

DROP TRIGGER watched_ledger_kept ON watched_ledgers;

UPDATE watched_ledgers SET position = coalesce(
  (SELECT position FROM ledger_heads WHERE organization_id = watched_ledgers.organization_id), 0)
WHERE position > coalesce(
  (SELECT position FROM ledger_heads WHERE organization_id = watched_ledgers.organization_id), 0);

CREATE OR REPLACE FUNCTION watched_ledger_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  NEW.position := least(NEW.position, coalesce(
    (SELECT position FROM ledger_heads WHERE organization_id = NEW.organization_id), 0));
  IF TG_OP = 'UPDATE' THEN
    NEW.position := greatest(NEW.position, OLD.position);
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER watched_ledger_kept BEFORE INSERT OR UPDATE ON watched_ledgers
FOR EACH ROW EXECUTE FUNCTION watched_ledger_kept();
