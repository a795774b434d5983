"""Users, which are people and service accounts, and auditors."""

import re
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, func, or_, text
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import LOCAL_PATTERN, Base, OrganizationId, UserId, times_in_calendar

TAG = "^([^+@]+)[+][^@]*@"
DOT_AT_GMAIL = "[.](?=[^@]*@(gmail|googlemail)[.]com$)"
OTHER_NAME_OF_GMAIL = "@googlemail[.]com$"
TAGGED = "email ~ '[+]|@(gmail|googlemail)[.]com$'"
"""The SQL condition for an address that may be another spelling of a mailbox."""
MAILBOX_SQL = (
    f"regexp_replace(regexp_replace(regexp_replace({{email}}, '{TAG}', '\\1@'),"
    f" '{DOT_AT_GMAIL}', '', 'g'), '{OTHER_NAME_OF_GMAIL}', '@gmail.com')"
)
"""The SQL expression for the mailbox of an address. An index uses exactly this expression."""


def mailbox(address: str) -> str:
    """Return a normalized address without its +tag, and without dots for Gmail, which ignores them.

    It is only for comparisons. Mails go to the address as given. Other providers that ignore dots are not
    recognized, so each spelling there counts as a separate mailbox.
    """
    box = re.sub(TAG, r"\1@", address)
    box = re.sub(DOT_AT_GMAIL, "", box)
    return re.sub(OTHER_NAME_OF_GMAIL, "@gmail.com", box)


class UserKind(StrEnum):
    """Whether a user is a person or a service account."""

    PERSON = "person"
    SERVICE_ACCOUNT = "service_account"

    @classmethod
    def of(cls, organization: OrganizationId | None) -> "UserKind":
        """Return the kind of a user, given the organization whose service account it is, if any."""
        return cls.PERSON if organization is None else cls.SERVICE_ACCOUNT


class User(Base):
    """A person or a service account, identified by an opaque id.

    A service account is a user of one organization without an address, so that it is a member like any
    other. With a login at an OpenID provider, a person is identified by the issuer and the subject of the
    login. Such a person has no address if the login confirms none.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint(
            "service_account_of IS NULL OR num_nonnulls(email, issuer) = 0", name="kind"
        ),
        CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="login"),
        times_in_calendar("created_at", "tokens_valid_from", "linked_at", "profile_at"),
        # partial, because most people have neither, and empty index entries would slow down imports
        Index(
            "users_login_key",
            "issuer",
            "subject",
            unique=True,
            postgresql_where="issuer IS NOT NULL",
        ),
        Index(
            "users_external_id_key",
            "external_id",
            unique=True,
            postgresql_where="external_id IS NOT NULL",
        ),
        Index(
            "users_mailbox_idx",
            text(f"({MAILBOX_SQL.format(email='email')})"),
            postgresql_where=TAGGED,
        ),
    )

    id: Mapped[UserId] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    tokens_valid_from: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    service_account_of: Mapped[OrganizationId | None] = mapped_column(
        ForeignKey("organizations.id")
    )
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    external_id: Mapped[str | None]
    linked_at: Mapped[datetime | None]
    """When a login was linked to an existing user. Our own tokens from before are invalid."""
    profile_at: Mapped[datetime | None]
    """The time of issue of the token that last changed the address or the name."""

    @property
    def kind(self) -> UserKind:
        """Whether the user is a person or a service account."""
        return UserKind.of(self.service_account_of)

    @property
    def is_service_account(self) -> bool:
        """Whether the user is a service account."""
        return self.kind is UserKind.SERVICE_ACCOUNT

    def end_sessions(self, at: datetime) -> None:
        """Invalidate every access token issued before `at` and before now."""
        self.tokens_valid_from = func.greatest(  # so that it never moves back
            User.tokens_valid_from, at, func.clock_timestamp()
        )


class Auditor(Base):
    """A user who may read the audit of every organization, perhaps with an end.

    An auditor has no access in any organization, so the row stands for no relationship.
    """

    __tablename__ = "auditors"
    __table_args__ = (times_in_calendar("granted_at", "expires_at"),)

    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"), primary_key=True)
    granted_at: Mapped[datetime]
    granted_by: Mapped[str]
    """The operator, in the form of the events."""
    reason_hash: Mapped[bytes]
    expires_at: Mapped[datetime | None]

    @classmethod
    def active(cls, at: datetime) -> ColumnElement[bool]:
        """Return the condition for auditors that have not expired by `at`."""
        return or_(cls.expires_at.is_(None), cls.expires_at > at)
