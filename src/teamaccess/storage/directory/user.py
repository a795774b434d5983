"""People and machines, and the auditors among them."""

import re
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, func, or_, text
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import LOCAL_PATTERN, Base, OrganizationId, UserId

TAG = "^([^+@]+)[+][^@]*@"
DOT_AT_GMAIL = "[.](?=[^@]*@(gmail|googlemail)[.]com$)"
OTHER_NAME_OF_GMAIL = "@googlemail[.]com$"
TAGGED = "email ~ '[+]|@(gmail|googlemail)[.]com$'"
"""In SQL: whether an address may be another spelling of a mailbox."""
IN_SQL = (
    f"regexp_replace(regexp_replace(regexp_replace({{email}}, '{TAG}', '\\1@'),"
    f" '{DOT_AT_GMAIL}', '', 'g'), '{OTHER_NAME_OF_GMAIL}', '@gmail.com')"
)
"""In SQL: the mailbox of an address. Indexes are on this very text."""


def mailbox(address: str) -> str:
    """Return a normalised address without its +tag; at Gmail also without dots, which it ignores.

    Only for comparing: mails go to the address as it was given. Other providers that ignore dots are not
    known here; to them each spelling is a mailbox of its own.
    """
    box = re.sub(TAG, r"\1@", address)
    box = re.sub(DOT_AT_GMAIL, "", box)
    return re.sub(OTHER_NAME_OF_GMAIL, "@gmail.com", box)


class UserKind(StrEnum):
    """Whether somebody is a person or a machine."""

    PERSON = "person"
    SERVICE_ACCOUNT = "service_account"

    @classmethod
    def of(cls, organization: OrganizationId | None) -> "UserKind":
        """Return the kind of who is a service account of the organization, or of none."""
        return cls.PERSON if organization is None else cls.SERVICE_ACCOUNT


class User(Base):
    """A person, known by an opaque id; the e-mail address is only how they are reached.

    A service account is a user as well, of one organization and without an address, so that it is a
    member like any other. Where people keep their own login, they are known by its issuer and subject,
    and have no address here if that login vouches for none.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint(
            "service_account_of IS NULL OR num_nonnulls(email, issuer) = 0", name="kind"
        ),
        CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="login"),
        # partial: most people have neither, and entries for nothing cost every import
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
            text(f"({IN_SQL.format(email='email')})"),
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
    """When a login was linked to a user who was there already. No token of ours from before is good."""

    @property
    def kind(self) -> UserKind:
        """Whether it is a person or a machine."""
        return UserKind.of(self.service_account_of)

    @property
    def is_service_account(self) -> bool:
        """Whether it is a machine."""
        return self.kind is UserKind.SERVICE_ACCOUNT

    def end_sessions(self, at: datetime) -> None:
        """Refuse every access token issued before `at`, and what was issued since by who was faster."""
        self.tokens_valid_from = func.greatest(  # never back
            User.tokens_valid_from, at, func.clock_timestamp()
        )


class Auditor(Base):
    """Somebody who may ask the auditor's questions about every organization, perhaps until a time.

    It means no access in any of them, so it stands for no relationship.
    """

    __tablename__ = "auditors"

    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"), primary_key=True)
    granted_at: Mapped[datetime]
    granted_by: Mapped[str]
    """The operator, as the events name them."""
    reason_hash: Mapped[bytes]
    expires_at: Mapped[datetime | None]

    @classmethod
    def active(cls, at: datetime) -> ColumnElement[bool]:
        """Which of them have not ended by `at`."""
        return or_(cls.expires_at.is_(None), cls.expires_at > at)
