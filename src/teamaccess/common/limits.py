"""How much one organization, and one person, may have and do.

Each number is a setting `TEAMACCESS_LIMIT_<NAME>`. No limit has a budget that strangers share: it counts
what one organization has, or what one person did, so nobody can use up somebody else's.
docs/reference/limits.md explains them, and says what they do to whoever wants to flood a mailbox.
"""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TEAMACCESS_LIMIT_"

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Limits(BaseSettings):
    """Rates are refused with 429, numbers of things with 409, which operators and imports may exceed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    organizations_founded_a_day: Count = 10
    """Organizations that one person founds within a day, ended ones too."""
    organizations_founded: Count = 50
    """Organizations that one person founded and that have not ended."""

    invitations_an_hour: Count = 1000
    """Invitation mails from one organization within an hour."""
    invitations_a_day_to_one_mailbox: Count = 10
    """Invitation mails from one organization to one mailbox within a day."""
    invitations_a_day_by_one_person: Count = 5000
    """Invitation mails that one person causes within a day, in all organizations."""
    invitations_a_day_by_one_person_to_one_mailbox: Count = 10
    """Invitation mails that one person sends to one mailbox within a day, from all organizations."""
    pending_invitations: Count = 5000
    """Open invitations of one organization, expired ones too until they are swept."""

    members: Count = 100_000
    """Members of one organization, suspended ones and service accounts too, when somebody accepts."""
    service_accounts: Count = 200
    """Service accounts of one organization."""
    tokens_per_service_account: Count = 20
    """Tokens of one service account that are valid."""
    roles: Count = 100
    """Custom roles of one organization."""
    teams: Count = 500
    """Teams of one organization."""
    team_members: Count = 10_000
    """Members of one team."""
    objects: Count = 1_000_000
    """Registered objects of one organization, without those that were removed."""
    grants: Count = 100_000
    """Grants on all objects of one organization."""

    open_access_requests: Count = 20
    """Access requests of one member that nobody has decided on."""
    access_requests_a_day: Count = 100
    """Access requests that one member makes within a day, withdrawn and declined ones too: each leaves
    events in a chain that nobody can prune."""
