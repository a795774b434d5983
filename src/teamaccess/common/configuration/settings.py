"""The settings: environment variables `TEAMACCESS_*`, or else the files that `teamaccess dev` wrote."""

import os
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from teamaccess.common.configuration.limits import PREFIX as LIMIT_PREFIX
from teamaccess.common.configuration.limits import Limits
from teamaccess.common.configuration.local_stack import read_local_stack
from teamaccess.common.configuration.setting_names import refuse_unknown_names
from teamaccess.common.errors import Invalid, NotFound
from teamaccess.common.postgres.address import read_address, sqlalchemy_url
from teamaccess.common.sentences.excerpts import LONGEST_LOCAL_QUOTE
from teamaccess.common.urls import (
    HIGHEST_PORT,
    is_https_or_loopback,
    is_local_endpoint,
    is_mailbox,
    is_target,
    is_web_url,
    read_smtp_url,
)

PREFIX = "TEAMACCESS_"
OPERATOR_NAME = re.compile(r"[\w@.-]{1,64}")
"""The name of an operator, as the ledger and the events record it."""


WAYS_TO_ENCRYPT = {
    "SPICEDB_ENDPOINT": f"Name the authority of its certificate in {PREFIX}SPICEDB_TLS_CA, or set"
    f" {PREFIX}SPICEDB_TLS=true for a public one.",
    "SANDBOX_ENDPOINT": "Let the server of sandboxes listen on the loopback of this machine.",
}


class StackNotFound(NotFound):
    """Settings are missing, and the home folder has no running stack that they could be read from."""

    message = (
        "No teamaccess stack runs in {home}, and these settings are missing: {missing}. Start "
        "one with `teamaccess dev`, name the folder of a running one in TEAMACCESS_HOME, or set"
        " the variables."
    )


class InvalidSettings(Invalid):
    """Settings have invalid values, or contradict each other."""

    message = "These settings are not valid: {mistakes}."
    longest_quote = LONGEST_LOCAL_QUOTE


class Settings(BaseSettings):
    """The settings of the service and of every command."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        env_ignore_empty=True,  # an empty variable is an unset one, as in most deployment tools
    )

    home: Path = Path(".teamaccess")
    """The folder of the local stack."""
    catalog: str = "fintoc"
    """The catalog of this deployment: a name, or the path of a file."""

    database_url: str = Field(repr=False)
    """The libpq URL of PostgreSQL, with the application's role. That role owns no table."""
    owner_database_url: str | None = Field(default=None, repr=False)
    """The libpq URL of PostgreSQL, with the owner of the tables. Only migrations need it. Do not set it
    where requests are served."""

    spicedb_endpoint: str
    """host:port of SpiceDB's gRPC API."""
    spicedb_preshared_key: SecretStr = Field(min_length=1)
    spicedb_tls_ca: Path | None = None
    """The certificate authority that signed SpiceDB's certificate. Setting it turns TLS on."""
    spicedb_tls: bool = False
    """Use TLS to a SpiceDB with a certificate of a public authority."""
    spicedb_insecure: bool = False
    """Allow plaintext to SpiceDB and to sandboxes on other machines. Everybody on the network path can
    then read the key that can write, and can answer in SpiceDB's place."""
    sandbox_endpoint: str | None = None
    """host:port of `spicedb serve-testing`, for answers about past and planned states."""
    spicedb_binary: Path | None = None
    """A SpiceDB binary. Without it the local stack builds one."""

    secret_key: SecretStr = Field(min_length=16)
    """Signs tokens and hashes addresses. Anybody who has it can sign in as any user."""
    public_url: str = "http://127.0.0.1:8000"
    """The base URL of the links in mails."""
    mail: Literal["smtp", "file", "off"] | None = None
    """How mails leave: over `smtp_url`, as files in HOME/mail, or not at all. The default is smtp if
    `smtp_url` is set. Otherwise `teamaccess serve` refuses to start, and everything else writes files."""
    mail_from: str | None = None
    """The sender of mails: an address, or `Name <address>`. The default is no-reply at `public_url`."""
    smtp_url: SecretStr | None = None
    """`smtp://user:password@host:port`, or `smtps://...`."""
    smtp_insecure: bool = False
    """Allow sending the password without TLS, to a mail server on a private network."""
    oidc_issuer: str | None = None
    """The OpenID issuer whose tokens are accepted, as in their `iss` claim."""
    oidc_audience: str | None = None
    """The audience that those tokens must have."""
    oidc_email_claim: str = Field(default="email", min_length=1)
    """The claim of those tokens with the person's address."""
    oidc_email_verified_claim: str = Field(default="email_verified", min_length=1)
    """The claim that says whether the issuer has verified the address."""
    oidc_name_claim: str = Field(default="name", min_length=1)
    """The claim with the person's name."""
    oidc_trust_email: bool = False
    """Trust the address of a token without the claim that it is verified. Set it only for an issuer that
    lets nobody choose an address: a trusted address opens the account of the person who has it here."""
    oidc_email_verified_as_text: bool = False
    """Count the text "true" as true in the claim that the address is verified."""
    port: int = Field(default=8000, ge=0, le=65535)
    enforcement_seconds: float = Field(default=2.0, gt=0, le=60)
    """How long a request waits until its committed change is enforced. After that it answers 202."""
    requests_per_second: float = Field(default=50.0, gt=0)
    """How many requests one principal may send on average. Others are answered with 429."""
    unknown_per_second: float = Field(default=100.0, gt=0)
    """How many requests without a known token one client address may send. Others wait."""
    requests_burst: int = Field(default=200, ge=1)
    """How many requests one principal or client address may send at once."""
    refusals_per_actor: int = Field(default=60, gt=0)
    """How many refusals of one actor one chain of events records within an hour."""
    refusals_per_chain: int = Field(default=2000, gt=0)
    """How many refusals of all actors together one chain of events records within an hour."""
    log_format: Literal["console", "json"] = "console"
    operator: str | None = None
    """The person who runs a command, where the process's user does not say it, as in a container. The
    ledger names both."""

    limits: Limits = Field(default_factory=Limits)
    """How much one organization and one person may have and do: `TEAMACCESS_LIMIT_...`."""
    connections: int = Field(default=1000, ge=1)
    """How many connections one `teamaccess serve` keeps open, if its limit of open files allows that."""
    connections_per_address: int | None = Field(default=None, ge=1)
    """How many of them one client address may have. The default is half of them. A reverse proxy counts
    as one address."""
    first_byte_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How long a new connection may stay silent."""
    request_seconds: float = Field(default=20.0, gt=0, le=3600)
    """How long a request may take to arrive, from its first byte to the last one of its body."""
    idle_seconds: float = Field(default=75.0, gt=0, le=3600)
    """How long a connection stays open between two requests. It is longer than the usual 60 s of proxies
    and clients, so that none of them sends a request while the server closes the connection."""
    answer_seconds: float = Field(default=30.0, gt=0, le=3600)
    """How long a client may read an answer more slowly than 1 KiB a second."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if bool(self.oidc_issuer) != bool(self.oidc_audience):
            raise ValueError("OIDC_ISSUER and OIDC_AUDIENCE belong together")
        return self

    @model_validator(mode="after")
    def _keys_travel_safely(self) -> Self:
        encrypted = self.spicedb_tls or self.spicedb_tls_ca is not None
        plaintext = {"SANDBOX_ENDPOINT": self.sandbox_endpoint}  # sandboxes have no TLS
        if not encrypted:
            plaintext["SPICEDB_ENDPOINT"] = self.spicedb_endpoint
        for name, endpoint in plaintext.items():
            if endpoint and not self.spicedb_insecure and not is_local_endpoint(endpoint):
                raise ValueError(
                    f"{PREFIX}{name} is not on this machine, and its key and its answers would travel"
                    f" in plaintext. {WAYS_TO_ENCRYPT[name]} On a private network that you trust,"
                    f" {PREFIX}SPICEDB_INSECURE=true allows it"
                )
        return self

    @field_validator("operator")
    @classmethod
    def _operator_is_a_name(cls, name: str | None) -> str | None:
        if name and not OPERATOR_NAME.fullmatch(name):
            raise ValueError("must have 1 to 64 letters, digits, and the characters . _ @ -")
        return name or None

    @field_validator("oidc_issuer")
    @classmethod
    def _login_is_reached_safely(cls, issuer: str | None) -> str | None:
        if issuer is not None and not (is_https_or_loopback(issuer) and is_web_url(issuer)):
            raise ValueError(
                "must be an address under https, or on this machine, spelled as in the tokens' iss, "
                "without spaces, user, ? and #, such as https://login.example.com"
            )
        return issuer

    @field_validator(
        "oidc_audience", "oidc_email_claim", "oidc_email_verified_claim", "oidc_name_claim"
    )
    @classmethod
    def _text_of_a_token_is_exact(cls, text: str | None) -> str | None:
        """Refuse what no token has, because it is compared exactly."""
        if text is not None and (text != text.strip() or not text.isprintable()):
            raise ValueError("has a space or a line break around it. Remove it")
        return text

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_address(cls, url: str) -> str:
        # SECURITY: its host becomes the sender's domain of mails, and their links begin with it
        if not is_web_url(url):
            raise ValueError(
                "must be http:// or https:// with a host, and nothing behind the path, such as "
                "https://team.example.com"
            )
        return url

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url_is_an_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            read_smtp_url(url.get_secret_value())
        return url

    @field_validator("mail_from")
    @classmethod
    def _sender_is_a_mailbox(cls, sender: str | None) -> str | None:
        if sender is not None and not is_mailbox(sender):
            raise ValueError(
                "must be an address such as team@example.com, or a name with one: "
                "Example <team@example.com>"
            )
        return sender

    @field_validator("spicedb_endpoint", "sandbox_endpoint")
    @classmethod
    def _endpoint_is_a_target(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not is_target(endpoint):
            raise ValueError(
                "must be host:port, without a scheme and a path, and with a port from 1 to "
                f"{HIGHEST_PORT}"
            )
        return endpoint

    @field_validator("spicedb_tls_ca")
    @classmethod
    def _authority_can_be_read(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                certificates = path.read_bytes()
            except OSError as error:
                raise ValueError(f"can't read {str(path)!r} ({error.strerror})") from None
            if b"-----BEGIN CERTIFICATE-----" not in certificates:
                raise ValueError(f"{str(path)!r} has no certificate in PEM")
        return path

    @field_validator("port", mode="before")
    @classmethod
    def _port_is_not_a_service_link(cls, port: Any) -> Any:
        if isinstance(port, str) and "://" in port:
            raise ValueError(
                "must be a number. Kubernetes sets this variable to an address in each pod next to a "
                "Service called teamaccess: set enableServiceLinks: false for the pod"
            )
        return port

    @field_validator("spicedb_preshared_key")
    @classmethod
    def _key_fits_into_a_header(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if text != text.strip() or not (text.isascii() and text.isprintable()):
            raise ValueError(
                "must have only visible ASCII characters. Remove the spaces and line breaks around it"
            )
        return key

    @model_validator(mode="after")
    def _mail_is_decided_once(self) -> Self:
        if self.mail == "smtp" and self.smtp_url is None:
            raise ValueError(
                f"{PREFIX}MAIL=smtp needs {PREFIX}SMTP_URL. Set it to smtp://host:port"
            )
        if self.mail in ("file", "off") and self.smtp_url is not None:
            raise ValueError(
                f"{PREFIX}MAIL={self.mail} contradicts {PREFIX}SMTP_URL. Remove one of them"
            )
        return self

    @field_validator("database_url", "owner_database_url")
    @classmethod
    def _database_is_named(cls, url: str | None) -> str | None:
        """Refuse another URL without quoting it: the part that cannot be parsed may be the password."""
        if url is not None:
            read_address(url)
        return url

    @property
    def sqlalchemy_url(self) -> str:
        """`database_url` as SQLAlchemy spells it for asyncpg."""
        return sqlalchemy_url(self.database_url)

    @classmethod
    def discover(cls) -> Self:
        """Return the environment's settings, completed by those of the local stack.

        Raises StackNotFound if a required setting is missing, InvalidSettings if a value is invalid,
        UnknownSetting if a name is misspelled, and UnreadableStack.
        """
        refuse_unknown_setting_names()
        home = Path(os.environ.get(PREFIX + "HOME") or ".teamaccess")
        try:
            return cls(**_unless_in_environment(_of_local_stack(home)))
        except ValidationError as invalid:
            raise _in_one_sentence(invalid, home) from None


def refuse_unknown_setting_names() -> None:
    """Raise UnknownSetting if an environment variable TEAMACCESS_... is not a setting."""
    limits = [f"{LIMIT_PREFIX.removeprefix(PREFIX)}{name}" for name in Limits.model_fields]
    refuse_unknown_names(PREFIX, [*Settings.model_fields.keys() - {"limits"}, *limits])


def _of_local_stack(home: Path) -> dict[str, Any]:
    """Return the settings of the stack in `home`, none if there is no stack."""
    stack = read_local_stack(home)
    if stack and not os.environ.get(PREFIX + "SMTP_URL"):
        stack["mail"] = "file"
    return stack


def _unless_in_environment(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in settings if not os.environ.get(PREFIX + name.upper())}


def _in_one_sentence(invalid: ValidationError, home: Path) -> StackNotFound | InvalidSettings:
    prefix = LIMIT_PREFIX if invalid.title == Limits.__name__ else PREFIX
    missing = [_variable(error, prefix) for error in invalid.errors() if error["type"] == "missing"]
    mistakes = [
        f"{_variable(error, prefix)}: {error['msg']}"
        for error in invalid.errors()
        if error["type"] != "missing"
    ]
    if mistakes:
        return InvalidSettings(mistakes=mistakes)
    return StackNotFound(missing=missing, home=home.absolute())


def _variable(error: ErrorDetails, prefix: str) -> str:
    return prefix + str(error["loc"][0]).upper() if error["loc"] else "the settings"
