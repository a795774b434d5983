"""Settings come from the environment. The local stack provides the ones that are unset."""

import json
import re
from pathlib import Path

import pytest

from teamaccess.common.configuration.local_stack import UnreadableStack
from teamaccess.common.configuration.setting_names import PROJECT_VARIABLES, UnknownSetting
from teamaccess.common.configuration.settings import InvalidSettings, Settings, StackNotFound

STACK = {
    "api": "http://127.0.0.1:8123",
    "database_url": "postgresql://teamaccess@/teamaccess?host=%2Ftmp%2Fsockets",
    "spicedb": {"endpoint": "127.0.0.1:50123", "preshared_key": "of the stack"},
    "catalog": "finicom",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the environment names, and nothing else."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TEAMACCESS_{name.upper()}", raising=False)
    monkeypatch.setenv("TEAMACCESS_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def stack(home: Path) -> None:
    """The file that `teamaccess dev` writes for other commands."""
    (home / "dev.json").write_text(json.dumps(STACK))
    (home / "secrets.json").write_text(json.dumps({"secret_key": "a secret of the home"}))


@pytest.mark.usefixtures("stack")
def test_the_local_stack_is_found_without_environment_variables() -> None:
    settings = Settings.discover()
    assert settings.catalog == "finicom"
    assert settings.spicedb_endpoint == "127.0.0.1:50123"
    assert settings.spicedb_preshared_key.get_secret_value() == "of the stack"
    assert settings.secret_key.get_secret_value() == "a secret of the home"
    assert settings.public_url == "http://127.0.0.1:8123"


@pytest.mark.usefixtures("stack")
def test_environment_variables_take_precedence_over_the_local_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEAMACCESS_SPICEDB_ENDPOINT", "spicedb.internal:443")
    monkeypatch.setenv("TEAMACCESS_SPICEDB_TLS", "true")
    settings = Settings.discover()
    assert settings.spicedb_endpoint == "spicedb.internal:443"
    assert settings.catalog == "finicom"


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("name", ["dev.json", "secrets.json"])
@pytest.mark.parametrize("content", ['{"secret_key": "hun', "[]", "{}", '{"spicedb": 5}', "\x00"])
def test_a_file_of_the_stack_that_is_damaged_is_named(home: Path, name: str, content: str) -> None:
    (home / name).write_text(content)
    with pytest.raises(UnreadableStack) as refused:
        Settings.discover()
    assert str(home / name) in str(refused.value)
    assert "hun" not in str(refused.value)


def test_one_sentence_names_the_missing_settings(home: Path) -> None:
    with pytest.raises(StackNotFound) as missing:
        Settings.discover()
    assert str(missing.value) == (
        f"No teamaccess stack runs in {home}, and these settings are missing: "
        "TEAMACCESS_DATABASE_URL, TEAMACCESS_SPICEDB_ENDPOINT, TEAMACCESS_SPICEDB_PRESHARED_KEY, "
        "TEAMACCESS_SECRET_KEY. Start one with `teamaccess dev`, name the folder of a running one in "
        "TEAMACCESS_HOME, or set the variables."
    )


@pytest.mark.usefixtures("stack")
def test_an_invalid_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMACCESS_PORT", "eighty")
    with pytest.raises(InvalidSettings, match="TEAMACCESS_PORT: Input should be a valid integer"):
        Settings.discover()


@pytest.mark.usefixtures("stack")
def test_secrets_are_not_printed() -> None:
    printed = repr(Settings.discover())
    assert "a secret of the home" not in printed
    assert "of the stack" not in printed


@pytest.mark.usefixtures("stack")
def test_sqlalchemy_gets_the_same_database_with_its_own_driver() -> None:
    url = Settings.discover().sqlalchemy_url
    assert url == "postgresql+asyncpg://teamaccess@/teamaccess?host=%2Ftmp%2Fsockets"


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - {"limits", "home"}))
def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    unset = Settings.discover()
    monkeypatch.setenv(f"TEAMACCESS_{name.upper()}", "")
    assert Settings.discover() == unset


def test_an_empty_required_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMACCESS_SECRET_KEY", "")
    with pytest.raises(StackNotFound, match="TEAMACCESS_SECRET_KEY"):
        Settings.discover()


@pytest.mark.usefixtures("stack")
def test_a_short_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMACCESS_SECRET_KEY", "short")
    with pytest.raises(InvalidSettings, match=r"TEAMACCESS_SECRET_KEY: .* at least 16"):
        Settings.discover()


# --- names ---


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TEAMACCESS_SMTPURL", "TEAMACCESS_SMTP_URL"),
        ("TEAMACCESS_DATABSE_URL", "TEAMACCESS_DATABASE_URL"),
        ("TEAMACCESS_SPICEDB_KEY", "TEAMACCESS_SPICEDB_PRESHARED_KEY"),
        ("TEAMACCESS_LIMIT_TEAM", "TEAMACCESS_LIMIT_TEAMS"),
        ("TEAMACCESS_LIMITS", "TEAMACCESS_LIMIT_"),
        ("teamaccess_prot", "TEAMACCESS_PORT"),
        ("TEAMACCESS_NOTHING_OF_OURS_AT_ALL", ""),
    ],
)
def test_a_misspelled_name_is_refused_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "anything")
    with pytest.raises(UnknownSetting) as refused:
        Settings.discover()
    assert name in str(refused.value)
    assert meant in str(refused.value)
    assert ("did you mean" in str(refused.value)) == bool(meant)


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    "name",
    [
        "TEAMACCESS_SERVICE_HOST",
        "TEAMACCESS_SERVICE_PORT_HTTP",
        "TEAMACCESS_PORT_8000_TCP_ADDR",
        "TEAMACCESS_API_SERVICE_PORT",
        "TEAMACCESS_API_PORT",
    ],
)
def test_the_variables_of_kubernetes_are_not_misspelled_settings(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.7:8000")
    Settings.discover()


@pytest.mark.usefixtures("stack")
def test_a_port_that_kubernetes_sets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMACCESS_PORT", "tcp://10.0.0.7:8000")
    with pytest.raises(InvalidSettings, match="enableServiceLinks"):
        Settings.discover()


def test_the_variables_of_the_tests_are_listed() -> None:
    root = Path(__file__).parents[2]
    used = {
        name
        for folder in ("tests", "benchmarks", "checks")
        for file in (root / folder).rglob("*.py")
        if "node_modules" not in file.parts
        for name in re.findall(r"environ(?:\.get\(|\[)\"(TEAMACCESS_[A-Z_]+)\"", file.read_text())
    }
    settings = {f"TEAMACCESS_{name.upper()}" for name in Settings.model_fields}
    assert used - settings <= PROJECT_VARIABLES


# --- values ---


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("SMTP_URL", "mail.example.com:587", "must begin with smtp:// or smtps://"),
        ("SMTP_URL", "https://mail.example.com", "must begin with smtp:// or smtps://"),
        ("SMTP_URL", "smtp://ana:hunter2/x@mail.example", "percent-encoded"),
        ("SMTP_URL", "smtp://ana:hunter2#x@mail.example", "percent-encoded"),
        ("SMTP_URL", "smtp://ana:12?hunter2@mail.example", "percent-encoded"),
        ("SMTP_URL", "smtp://ana:hunter2%@mail.example", "percent-encoded"),
        ("SMTP_URL", "smtp://ana@corp:hunter2@mail.example", "percent-encoded"),
        ("SMTP_URL", "smtp://ana:hunter2@mail.example:99999", "host and a port"),
        ("SMTP_URL", "smtp://ana:hunter2@mail.example:port", "host and a port"),
        ("SMTP_URL", "smtp://ana:hunter2@", "host and a port"),
        ("SMTP_URL", "smtp://hunter2@mail.example", "a user and a password"),
        ("PUBLIC_URL", "team.example.com", "https://team.example.com"),
        ("PUBLIC_URL", "team.example.com:443/x", "https://team.example.com"),
        ("PUBLIC_URL", "https://", "https://team.example.com"),
        ("PUBLIC_URL", "ftp://team.example.com", "https://team.example.com"),
        ("MAIL", "smtp", "SMTP_URL"),
        ("MAIL", "yes", "'smtp', 'file' or 'off'"),
        ("MAIL_FROM", "no address", "team@example.com"),
        ("MAIL_FROM", "a@b.example, c@d.example", "team@example.com"),
        ("MAIL_FROM", "ana@b.example\nBcc: c@d.example", "team@example.com"),
        ("SPICEDB_ENDPOINT", "https://127.0.0.1:50051", "host:port"),
        ("SPICEDB_ENDPOINT", "127.0.0.1", "host:port"),
        ("SANDBOX_ENDPOINT", "http://127.0.0.1:50051", "host:port"),
        ("SPICEDB_ENDPOINT", "127.0.0.1:99999", "1 to 65535"),
        ("SPICEDB_ENDPOINT", "dns:///localhost:0", "1 to 65535"),
        ("SPICEDB_ENDPOINT", "[::1]:0", "1 to 65535"),
        ("SPICEDB_ENDPOINT", "ipv4:127.0.0.1:65536,127.0.0.1:50051", "1 to 65535"),
        ("SANDBOX_ENDPOINT", "127.0.0.1:100000", "1 to 65535"),
        ("SANDBOX_ENDPOINT", "localhost:", "1 to 65535"),
        ("PUBLIC_URL", "https://team.example.com:0", "https://team.example.com"),
        ("OIDC_AUDIENCE", "api ", "line break"),
        ("OIDC_EMAIL_CLAIM", " email", "line break"),
        ("OIDC_EMAIL_VERIFIED_CLAIM", "email_verified\n", "line break"),
        ("OIDC_NAME_CLAIM", "na\tme", "line break"),
        ("SPICEDB_PRESHARED_KEY", "hunter2\n", "line breaks"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_name_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(f"TEAMACCESS_{name}", value)
    with pytest.raises(InvalidSettings) as refused:
        Settings.discover()
    assert f"TEAMACCESS_{name}" in str(refused.value)
    assert remedy in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("mail", ["file", "off"])
def test_mail_is_decided_once(monkeypatch: pytest.MonkeyPatch, mail: str) -> None:
    monkeypatch.setenv("TEAMACCESS_SMTP_URL", "smtp://mail.example")
    Settings.discover()
    monkeypatch.setenv("TEAMACCESS_MAIL", mail)
    with pytest.raises(InvalidSettings, match="TEAMACCESS_SMTP_URL"):
        Settings.discover()


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("issuer", "audience", "reported"),
    [
        ("https://login.example", "https://api.example", ""),
        ("http://127.0.0.1:9000", "api", ""),
        ("http://localhost:9000/realm", "api", ""),
        ("http://login.example", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("http://10.0.0.1", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("ftp://127.0.0.1", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("login.example", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://[", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://login.example:8443/realm", "api", ""),
        ("https://login.example\n", "api", "TEAMACCESS_OIDC_ISSUER"),
        (" https://login.example", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://login.example:99999", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://login.example:0", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://login.example?a=b#c", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://login.example?", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://user:secret@login.example", "api", "TEAMACCESS_OIDC_ISSUER"),
        ("https://login.example", None, "belong together"),
        (None, "api", "belong together"),
    ],
)
def test_a_login_needs_all_its_settings_and_https(
    monkeypatch: pytest.MonkeyPatch, issuer: str | None, audience: str | None, reported: str
) -> None:
    for name, value in (("ISSUER", issuer), ("AUDIENCE", audience)):
        if value is not None:
            monkeypatch.setenv(f"TEAMACCESS_OIDC_{name}", value)
    if reported:
        with pytest.raises(InvalidSettings, match=reported):
            Settings.discover()
    else:
        assert Settings.discover().oidc_issuer == issuer
