-- Remove the updates of other tenants from each finding. Of more than a hundred updates, only the first were
-- kept, so the number of the tenant's own updates cannot be counted again.

UPDATE findings SET details = details || jsonb_build_object(
  'updates', own.updates,
  'count', CASE WHEN (details ->> 'count')::bigint > jsonb_array_length(details -> 'updates')
           THEN details -> 'count' ELSE to_jsonb(jsonb_array_length(own.updates)) END)
FROM (
  SELECT id, coalesce(jsonb_agg(told.text ORDER BY told.place) FILTER (
    WHERE substring(told.text FROM '^[A-Z]+ [^:]+:([^/#]+)') = organization_id), '[]') AS updates
  FROM findings, jsonb_array_elements_text(details -> 'updates') WITH ORDINALITY AS told (text, place)
  WHERE kind = 'foreign_write' GROUP BY id) own
WHERE own.id = findings.id AND own.updates <> findings.details -> 'updates';

REVOKE INSERT ON findings FROM teamaccess;
GRANT INSERT (kind, organization_id, fingerprint, details) ON findings TO teamaccess;
GRANT UPDATE (resolved_by) ON findings TO teamaccess;
