"""The settings: environment variables `TEAMACCESS_*`, or else the files that `teamaccess dev` wrote."""

import json
import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from teamaccess.common.errors import Invalid, NotFound
from teamaccess.common.excerpts import LONGEST_LOCAL_QUOTE
from teamaccess.common.limits import PREFIX as LIMIT_PREFIX
from teamaccess.common.limits import Limits
from teamaccess.common.urls import (
    asyncpg_url,
    is_https_or_loopback,
    is_local_endpoint,
    is_postgres_url,
    is_smtp_url,
    is_web_url,
)

PREFIX = "TEAMACCESS_"


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
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
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
    smtp_url: SecretStr | None = None
    """`smtp://user:password@host:port`. Without it, mails are written to files in HOME/mail."""
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

    @field_validator("oidc_issuer")
    @classmethod
    def _login_is_reached_safely(cls, issuer: str | None) -> str | None:
        if issuer is not None and not is_https_or_loopback(issuer):
            raise ValueError("must be an address under https, or on this machine")
        return issuer

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_address(cls, url: str) -> str:
        # SECURITY: its host becomes the sender's domain of mails, and their links begin with it
        if not is_web_url(url):
            raise ValueError("must be http:// or https:// with a host, and nothing behind the path")
        return url

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url_is_an_address(cls, url: SecretStr | None) -> SecretStr | None:
        # a misspelled scheme must not turn TLS off
        if url is not None and not is_smtp_url(url.get_secret_value()):
            raise ValueError("must be smtp:// or smtps:// with a host")
        return url

    @field_validator("database_url", "owner_database_url")
    @classmethod
    def _database_is_named(cls, url: str | None) -> str | None:
        """Refuse another URL without quoting it: the part that cannot be parsed may be the password."""
        if url is not None and not is_postgres_url(url):
            raise ValueError(
                "must be postgresql://user:password@host:port/database, with each of # ? / @ : in the "
                "password percent-encoded"
            )
        return url

    @property
    def sqlalchemy_url(self) -> str:
        """`database_url` as SQLAlchemy spells it for asyncpg."""
        return asyncpg_url(self.database_url)

    @classmethod
    def discover(cls) -> Self:
        """Return the environment's settings, completed by those of the local stack.

        Raises StackNotFound if a required setting is missing, InvalidSettings if a value is invalid.
        """
        home = Path(os.environ.get(PREFIX + "HOME", ".teamaccess"))
        try:
            return cls(**_unless_in_environment(_local_stack(home)))
        except ValidationError as invalid:
            raise _in_one_sentence(invalid, home) from None


def _local_stack(home: Path) -> dict[str, Any]:
    """Return the settings of the stack in `home`, none if there is no stack."""
    try:
        stack = json.loads((home / "dev.json").read_text())
        secrets = json.loads((home / "secrets.json").read_text())
    except FileNotFoundError:
        return {}
    return {
        "catalog": stack["catalog"],
        "database_url": stack["database_url"],
        "public_url": stack["api"],
        "secret_key": secrets["secret_key"],
        "spicedb_endpoint": stack["spicedb"]["endpoint"],
        "spicedb_preshared_key": stack["spicedb"]["preshared_key"],
        "sandbox_endpoint": stack.get("sandbox", {}).get("endpoint"),
    }


def _unless_in_environment(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in settings if PREFIX + name.upper() not in os.environ}


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
