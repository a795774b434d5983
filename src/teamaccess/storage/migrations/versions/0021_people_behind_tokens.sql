-- The proof of a token covers the people behind it. A token without them keeps its earlier proof.

CREATE OR REPLACE FUNCTION api_token_proof(token api_tokens) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY[
    CASE WHEN token.people IS NULL AND token.people_until IS NULL THEN 'api_token/1' ELSE 'api_token/2' END,
    token.organization_id, token.id, token.user_id, encode(token.hash, 'hex'), token.created_by,
    chain_time(token.expires_at), chain_time(token.revoked_at)]
    || CASE WHEN token.people IS NULL AND token.people_until IS NULL THEN '{}'
       ELSE ARRAY[coalesce(array_to_string(token.people, ' '), '-'), chain_time(token.people_until)] END)
$$;
