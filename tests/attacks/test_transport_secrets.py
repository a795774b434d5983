"""Passwords, keys and tokens: they cannot be read on the network or by others on this machine."""

import asyncio
import json
import os
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiosmtplib
import certifi
import psutil
import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from teamaccess.cli.commands.processes.dev import welcome
from teamaccess.common.configuration.settings import InvalidSettings, Settings
from teamaccess.common.urls import is_local_endpoint
from teamaccess.directory.invitations.offer import Letter
from teamaccess.directory.mail import Mail, Mailbox, SmtpMailer
from teamaccess.engine import Engine, EngineUnavailable
from teamaccess.local.demo import Demo
from teamaccess.local.home import Secrets
from teamaccess.relationships import organization, user
from tests.local.dev_process import StartDev
from tests.support.inbox import Inbox, url

NEEDED = {
    "DATABASE_URL": "postgresql:///teamaccess",
    "SPICEDB_ENDPOINT": "127.0.0.1:50051",
    "SPICEDB_PRESHARED_KEY": "the key of SpiceDB",
    "SECRET_KEY": "a secret of the deployment",
}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a deployment, without those of this machine."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TEAMACCESS_{name.upper()}", raising=False)
    for name, value in {**NEEDED, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)


def settings_with(monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    """The settings of a deployment, with these in addition."""
    for name, value in more.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)
    return Settings.discover()


MAIL = Mail(
    "Join Acme",
    Mailbox("teamaccess", "no-reply@example.com"),
    "bob@example.com",
    datetime(2026, 11, 1, tzinfo=UTC),
    "hello\n",
)


# --- SMTP ---


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every check for a local address answer that it is another machine."""
    monkeypatch.setattr("teamaccess.common.urls.is_loopback", lambda host: False)


@pytest.mark.usefixtures("elsewhere")
async def test_a_password_is_not_sent_if_the_offer_of_tls_was_stripped() -> None:
    heard: list[LoginPassword] = []

    def authenticate(*reported: object) -> AuthResult:
        assert isinstance(reported[-1], LoginPassword)
        heard.append(reported[-1])
        return AuthResult(success=True)

    inbox = Inbox()
    with inbox.serving(authenticator=authenticate, auth_require_tls=False) as server:
        with pytest.raises(aiosmtplib.SMTPException, match="STARTTLS"):
            await SmtpMailer(url(server, "ana:secret@")).send(MAIL)
        assert heard == []
        assert inbox.envelopes == []
        await SmtpMailer(url(server, "ana:secret@"), insecure=True).send(MAIL)
        await SmtpMailer(url(server)).send(MAIL)  # there is no password to lose
    assert len(heard) == 1
    assert len(inbox.envelopes) == 2


@pytest.mark.usefixtures("elsewhere")
async def test_a_password_is_not_sent_to_a_server_with_another_certificate(tmp_path: Path) -> None:
    inbox, context = Inbox(), self_signed(tmp_path)
    with (
        inbox.serving(tls_context=context) as server,
        pytest.raises((aiosmtplib.SMTPException, OSError), match="certificate"),
    ):
        await SmtpMailer(url(server, "ana:secret@")).send(MAIL)
    assert inbox.envelopes == []


@pytest.mark.parametrize(
    "address", ["smpt://mail.example", "http://mail.example", "mail:25", "smtp://"]
)
def test_a_mail_server_whose_scheme_is_misspelled_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(InvalidSettings, match="TEAMACCESS_SMTP_URL"):
        settings_with(monkeypatch, SMTP_URL=address)


# --- SpiceDB ---


@pytest.mark.parametrize("name", ["SPICEDB_ENDPOINT", "SANDBOX_ENDPOINT"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "spicedb.internal:50051",
        "10.0.0.7:50051",
        "0.0.0.0:50051",
        "[fd00::7]:50051",
        "dns:///spicedb:50051",
        "dns://10.0.0.53/localhost:50051",
        "ipv4:127.0.0.1:50051,10.0.0.7:50051",
        "127.0.0.1.evil.example:50051",
        "127.0.0.1:50051@evil.example:1",
        "localhost.evil.example:50051",
        "xds:///localhost:50051",
    ],
)
def test_the_spicedb_key_is_not_sent_in_plain_text(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, name: str
) -> None:
    with pytest.raises(InvalidSettings) as refused:
        settings_with(monkeypatch, **{name: endpoint})
    assert name in str(refused.value)
    assert "TEAMACCESS_SPICEDB_INSECURE" in str(refused.value)
    allowed = settings_with(monkeypatch, SPICEDB_INSECURE="true")
    assert getattr(allowed, name.lower()) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:50051",
        "localhost:50051",
        "[::1]:50051",
        "dns:///localhost:50051",
        "ipv4:127.0.0.1:50051",
        "ipv6:[::1]:50051",
        "unix:/run/spicedb.sock",
        "unix:///run/spicedb.sock",
    ],
)
def test_the_spicedb_key_may_be_sent_in_plain_text_on_this_machine(endpoint: str) -> None:
    assert is_local_endpoint(endpoint)


def test_spicedb_may_be_on_any_host_with_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMACCESS_SPICEDB_ENDPOINT", "spicedb.internal:443")
    assert settings_with(monkeypatch, SPICEDB_TLS="true").spicedb_tls
    monkeypatch.delenv("TEAMACCESS_SPICEDB_TLS")
    assert settings_with(monkeypatch, SPICEDB_TLS_CA=certifi.where()).spicedb_tls_ca


async def test_a_proxy_from_the_environment_does_not_get_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with server, Engine("127.0.0.1:1", "the key") as engine:
        with pytest.raises(EngineUnavailable):
            await engine.check(organization("acme"), "member", user("usr_1"))
    assert asked == []


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
async def test_a_proxy_that_does_not_reach_spicedb_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in (*PROXIES, "grpc_proxy", "no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://ana:hunter2@127.0.0.1:1")
    async with Engine("spicedb.example:443", "the key", tls=True) as engine:
        with pytest.raises(EngineUnavailable) as away:
            await engine.check(organization("acme"), "member", user("usr_1"))
    assert "through the proxy 127.0.0.1:1 of the environment" in str(away.value)
    assert "hunter2" not in str(away.value)
    monkeypatch.setenv("no_proxy", ".internal,.example")
    async with Engine("spicedb.example:443", "the key", tls=True) as engine:
        with pytest.raises(EngineUnavailable) as away:
            await engine.check(organization("acme"), "member", user("usr_1"))
    assert "proxy" not in str(away.value)


# --- the login ---

ISSUER_KEY = {"kty": "OKP", "crv": "Ed25519", "kid": "of the issuer", "x": "x"}
PROXY_KEY = {**ISSUER_KEY, "kid": "of the proxy"}
FIND_KEYS = """
import sys
from teamaccess.directory.users.signing_keys import _keys_of
print(*(key.get("kid") for key in _keys_of(sys.argv[1])))
"""
PROXIES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]


class Spy:
    """A server that answers as an issuer, or as a proxy that claims to be one.

    It records the requests.
    """

    def __init__(self, key: dict[str, str], context: ssl.SSLContext | None = None) -> None:
        self.key, self.context = key, context
        self.asked: list[str] = []
        self.issuer = ""

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, or the first request in a tunnel."""
        try:
            line = await self._asked(reader)
            if line.startswith("CONNECT ") and self.context is not None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await writer.start_tls(self.context)
                line = await self._asked(reader)
            document: dict[str, Any] = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
            if "/keys " in line:
                document = {"keys": [self.key]}
            body = json.dumps(document).encode()
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client closed the connection
        finally:
            writer.transport.abort()

    async def _asked(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.splitlines()[0])
        return self.asked[-1]


@asynccontextmanager
async def listening(spy: Spy) -> AsyncIterator[int]:
    """Serve on a free port."""
    server = await asyncio.start_server(spy.hear, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def keys_found(issuer: str, proxy: int) -> tuple[str, str]:
    """Return the keys that a process finds with a proxy in its environment, and its errors."""
    environment = {name: each for name, each in os.environ.items() if "proxy" not in name.lower()}
    environment |= dict.fromkeys(PROXIES, f"http://127.0.0.1:{proxy}")
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FIND_KEYS, issuer, env=environment, stdout=PIPE, stderr=PIPE
    )
    found, errors = await program.communicate()
    return found.decode().strip(), errors.decode()


async def test_a_proxy_from_the_environment_is_not_used_for_an_issuer_on_this_machine() -> None:
    issuer, proxy = Spy(ISSUER_KEY), Spy(PROXY_KEY)
    async with listening(issuer) as port, listening(proxy) as proxy_port:
        issuer.issuer = proxy.issuer = f"http://127.0.0.1:{port}"
        found, errors = await keys_found(issuer.issuer, proxy_port)
    assert found == ISSUER_KEY["kid"], errors
    assert proxy.asked == []


async def test_a_proxy_is_not_used_for_an_https_issuer_on_this_machine_either() -> None:
    proxy = Spy(PROXY_KEY)
    async with listening(proxy) as proxy_port:
        found, errors = await keys_found("https://127.0.0.1:1", proxy_port)
    assert (found, proxy.asked) == ("", [])
    assert "Connection refused" in errors
    assert "through the proxy" not in errors


async def test_a_proxy_that_does_not_reach_the_issuer_is_named() -> None:
    _, errors = await keys_found("https://login.example", 1)
    assert "Connection refused" in errors
    assert "through the proxy 127.0.0.1:1 in https_proxy" in errors


async def test_a_proxy_from_the_environment_only_forwards_tls(
    tmp_path: Path,
) -> None:
    proxy = Spy(PROXY_KEY, self_signed(tmp_path))
    async with listening(proxy) as proxy_port:
        proxy.issuer = "https://login.example"
        found, errors = await keys_found(proxy.issuer, proxy_port)
    assert found == ""
    assert "CERTIFICATE_VERIFY_FAILED" in errors
    assert [line.rpartition(" ")[0] for line in proxy.asked] == ["CONNECT login.example:443"]


# --- this machine ---


def test_dev_prints_no_key(tmp_path: Path) -> None:
    reported = {
        "api": "http://127.0.0.1:8000",
        "spicedb": {"endpoint": "127.0.0.1:50051", "preshared_key": "the key of SpiceDB"},
        "catalog": "fintoc",
        "organization": "acme",
        "administrator": {"user": "usr_1", "email": "ada@acme.example", "token": "eyJ"},
    }
    printed = welcome(reported, tmp_path)
    assert "the key of SpiceDB" not in printed
    assert f"{tmp_path}/dev.json" in printed


@pytest.fixture
def secrets_of_another_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that a user's shell may have set, and that no child process needs."""
    monkeypatch.setenv("TEAMACCESS_SMTP_URL", "smtp://ana:hunter2@127.0.0.1:1")
    for name in NEEDED:
        monkeypatch.delenv(f"TEAMACCESS_{name}")


@pytest.mark.usefixtures("secrets_of_another_deployment")
def test_no_secret_is_in_an_argument_a_log_or_another_environment(
    start_dev: StartDev, home: Path
) -> None:
    dev = start_dev()
    kept = json.loads((home / "secrets.json").read_text())
    secrets = [
        *kept.values(),
        dev.reported["administrator"]["token"],
        dev.reported["operator"]["token"],
        "hunter2",
    ]
    programs = [*psutil.Process(dev.process.pid).children(recursive=True), *dev.children]
    for program in {each.pid: each for each in programs}.values():
        arguments = "\0".join(program.cmdline())
        assert not any(secret in arguments for secret in secrets), program.name()
        if program.name() in ("spicedb", "postgres"):
            environment = "\0".join(program.environ().values())
            assert "hunter2" not in environment, program.name()
            assert kept["secret_key"] not in environment, program.name()
    logs = "".join(log.read_text() for log in (home / "logs").glob("*.log"))
    assert not any(secret in logs for secret in secrets)


def test_objects_with_secrets_do_not_print_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = settings_with(
        monkeypatch,
        DATABASE_URL="postgresql://t:hunter2@127.0.0.1/t",
        OWNER_DATABASE_URL="postgresql://o:hunter2@127.0.0.1/t",
        SMTP_URL="smtps://ana:hunter2@mail.example",
    )
    for each in (
        shown,
        Secrets("hunter2", "hunter2"),
        Demo("usr_1", "hunter2", "hunter2"),
        Letter(None, "hunter2", None),  # type: ignore[arg-type]  # only the secret matters
        Mail("s", Mailbox("", "a@b.example"), "c@d.example", MAIL.date, "hunter2"),
    ):
        assert "hunter2" not in repr(each)
        assert "hunter2" not in str(each)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", "smpt://ana:hunter2@mail.example"),
        ("SECRET_KEY", "hunter2"),
        ("PUBLIC_URL", "https://ana:hunter2@team.example"),
    ],
)
def test_a_refused_setting_does_not_quote_its_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(InvalidSettings) as refused:
        settings_with(monkeypatch, **{name: value})
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.facts)


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS with a self-signed certificate."""
    from datetime import timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
