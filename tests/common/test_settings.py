"""Settings come from the environment. The local stack provides the ones that are unset."""

import json
from pathlib import Path

import pytest

from teamaccess.common.settings import InvalidSettings, Settings, StackNotFound

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
def test_an_empty_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMACCESS_SECRET_KEY", "")
    with pytest.raises(InvalidSettings, match=r"TEAMACCESS_SECRET_KEY: .* at least 16"):
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
