-- The proof of an invitation includes the service account that sent it. Without one, the proof is the same as in
-- earlier events.

CREATE OR REPLACE FUNCTION invitation_proof(invitation invitations) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_proof(ARRAY['invitation/1', invitation.organization_id, invitation.id,
    invitation.email, invitation.invitee, encode(invitation.token_hash, 'hex'),
    invitation.invited_by, chain_time(invitation.expires_at)] ||
    ARRAY(SELECT role FROM invitation_roles
          WHERE organization_id = invitation.organization_id AND invitation_id = invitation.id
          ORDER BY role COLLATE "C") ||
    CASE WHEN invitation.invited_via IS NULL THEN ARRAY[]::text[]
         ELSE ARRAY['via', invitation.invited_via] END)
$$;

DROP TRIGGER row_attested ON invitations;
CREATE CONSTRAINT TRIGGER row_attested AFTER UPDATE
  OF organization_id, id, email, invitee, token_hash, invited_by, invited_via ON invitations
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_attested('invitation');
