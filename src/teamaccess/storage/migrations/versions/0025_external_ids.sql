-- A change of a profile attests an external id that became free, too.

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
