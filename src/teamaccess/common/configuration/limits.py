"""How much one organization, and one person, may have and do.

Each number is a setting `TEAMACCESS_LIMIT_<NAME>`. A limit counts either what one organization has or
what one person did. Unrelated callers share no budget, so nobody can use up another's limit.
docs/reference/limits.md explains the limits, and how they stop the flooding of a mailbox.
"""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TEAMACCESS_LIMIT_"

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Limits(BaseSettings):
    """The limits. A rate is refused with 429 and a number of things with 409.

    Operators and imports may exceed the numbers of things.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    organizations_founded_a_day: Count = 10
    """Organizations that one person creates within a day, including ended ones."""
    organizations_founded: Count = 50
    """Organizations that one person created and that have not ended."""

    invitations_an_hour: Count = 1000
    """Invitation mails from one organization within an hour."""
    invitations_a_day_to_one_mailbox: Count = 10
    """Invitation mails from one organization to one mailbox within a day."""
    invitations_a_day_by_one_person: Count = 5000
    """Invitation mails that one person causes within a day, in all organizations."""
    invitations_a_day_by_one_person_to_one_mailbox: Count = 10
    """Invitation mails that one person sends to one mailbox within a day, from all organizations."""
    pending_invitations: Count = 5000
    """Open invitations of one organization, including expired ones until the sweeper ends them."""

    members: Count = 100_000
    """Members of one organization, including suspended ones and service accounts.

    The limit is checked when somebody accepts an invitation."""
    service_accounts: Count = 200
    """Service accounts of one organization."""
    tokens_per_service_account: Count = 20
    """Valid tokens of one service account."""
    roles: Count = 100
    """Custom roles of one organization."""
    teams: Count = 500
    """Teams of one organization."""
    team_members: Count = 10_000
    """Members of one team."""
    objects: Count = 1_000_000
    """Registered objects of one organization, without the removed ones."""
    grants: Count = 100_000
    """Grants on all objects of one organization."""

    open_access_requests: Count = 20
    """Pending access requests of one member."""
    access_requests_a_day: Count = 100
    """Access requests that one member makes within a day, including withdrawn and declined ones. Each of
    them leaves events in a chain, and events are never deleted."""
