"""Access tokens: their content, their validation, and their lifetime."""

from datetime import UTC, datetime, timedelta, tzinfo

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.directory.users.keys import Keys
from teamaccess.directory.users.tokens import (
    LEEWAY,
    LONGEST_LIFE,
    Audience,
    InvalidToken,
    Login,
    issue_access_token,
    refuse_unless_current,
    verify_access_token,
)
from teamaccess.storage import User, UserId
from tests.support.organization import Organization
from tests.support.responses import refused

KEYS = Keys.from_secret("a secret of the tests alone")
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
OTHERS = Keys.from_secret("a secret of the tests alonE")


def lately() -> datetime:
    """A moment ago."""
    return datetime.now(UTC) - timedelta(minutes=1)


TOKEN = issue_access_token(KEYS, Audience.USER, "usr_1", lately(), LONGEST_LIFE)


def user(valid_from: datetime) -> User:
    """A user whose sessions before a time were ended."""
    return User(id=UserId("usr_1"), email="a@example.com", tokens_valid_from=valid_from)


@given(
    st.sampled_from(Audience),
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.timedeltas(timedelta(seconds=100), LONGEST_LIFE),
    st.integers(0, 999_999),
)
def test_an_issued_token_is_accepted_to_the_microsecond(
    audience: Audience, subject: str, life: timedelta, microsecond: int
) -> None:
    now = lately().replace(microsecond=microsecond)
    claims = verify_access_token(KEYS, issue_access_token(KEYS, audience, subject, now, life))
    assert (claims.audience, claims.subject, claims.issued_at) == (audience, subject, now)


@given(st.timedeltas(LONGEST_LIFE, timedelta(days=9999)))
def test_no_token_lives_longer_than_twelve_hours(life: timedelta) -> None:
    token = issue_access_token(KEYS, Audience.USER, "usr_1", lately(), life)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] <= timedelta(hours=12).total_seconds()


def test_every_token_has_an_id_of_its_own_and_names_its_key() -> None:
    tokens = [
        issue_access_token(KEYS, Audience.USER, "usr_1", lately(), LONGEST_LIFE) for _ in range(10)
    ]
    ids = {jwt.decode(each, options={"verify_signature": False})["jti"] for each in tokens}
    assert len(ids) == 10
    assert {jwt.get_unverified_header(each)["kid"] for each in tokens} == {KEYS.token_key_id}


def test_a_token_of_another_deployment_is_refused() -> None:
    foreign = issue_access_token(OTHERS, Audience.USER, "usr_1", lately(), LONGEST_LIFE)
    with pytest.raises(InvalidToken):
        verify_access_token(KEYS, foreign)


def test_a_token_is_accepted_for_almost_a_minute_after_its_expiry() -> None:
    now = lately()
    token = issue_access_token(KEYS, Audience.USER, "usr_1", now, timedelta(hours=1))
    claims = verify_access_token(KEYS, token)
    refuse_unless_current(claims, now + timedelta(hours=1, seconds=58))
    with pytest.raises(InvalidToken, match="expired"):
        refuse_unless_current(claims, now + timedelta(hours=1, seconds=60))


def test_a_token_of_an_issuer_is_accepted_from_a_minute_before_it_becomes_valid() -> None:
    now = lately()
    begins = now + timedelta(hours=1)
    login = Login("https://login.example", "eve", now, begins, None, None, begins - LEEWAY)
    refuse_unless_current(login, begins - timedelta(seconds=60))
    with pytest.raises(InvalidToken, match="not valid yet"):
        refuse_unless_current(login, begins - timedelta(seconds=61))


@pytest.mark.parametrize("offset", [-timedelta(hours=13), -30 * SECOND, 30 * SECOND, 13 * HOUR])
async def test_a_new_token_is_valid_whatever_the_clock_of_this_machine_says(
    acme: Organization, offset: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        """A clock of this machine that is not PostgreSQL's."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp((datetime.now(UTC) + offset).timestamp(), tz)

    acme.administrator.token = await acme.deployment.token(acme.administrator.id)
    monkeypatch.setattr("jwt.api_jwt.datetime", Clock)
    assert (await acme.administrator.ask("GET", "/v1/me")).status_code == 200


async def test_an_expired_token_is_refused(acme: Organization) -> None:
    issued = await acme.deployment.service.now() - timedelta(minutes=61, seconds=1)
    keys, bob = acme.deployment.service.keys, acme.administrator
    bob.token = issue_access_token(keys, Audience.USER, bob.id, issued, timedelta(hours=1))
    assert "expired" in refused(await bob.ask("GET", "/v1/me"), 401, "invalid_token")["detail"]
    bob.token = issue_access_token(keys, Audience.OPERATOR, "ines", issued, timedelta(hours=1))
    assert "expired" in refused(await bob.ask("GET", "/readyz"), 401, "invalid_token")["detail"]


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_that_is_not_a_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        verify_access_token(KEYS, text)


@given(st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(TOKEN) - 2))
    other = data.draw(st.sampled_from("AZaz09-_.").filter(lambda c: c != TOKEN[place]))
    with pytest.raises(InvalidToken):
        verify_access_token(KEYS, TOKEN[:place] + other + TOKEN[place + 1 :])


def test_ending_a_session_ends_earlier_tokens_only() -> None:
    now = lately()
    claims = verify_access_token(
        KEYS, issue_access_token(KEYS, Audience.USER, "usr_1", now, LONGEST_LIFE)
    )
    claims.refuse_if_ended(user(now))
    with pytest.raises(InvalidToken):
        claims.refuse_if_ended(user(now + timedelta(microseconds=1)))


def test_each_purpose_has_its_own_key_and_no_key_is_printed() -> None:
    keys = {KEYS.tokens, KEYS.invitees, OTHERS.tokens}
    assert len(keys) == 3
    assert KEYS.tokens.hex() not in repr(KEYS)
    assert "secret" not in repr(KEYS)
    assert bytes.fromhex(KEYS.token_key_id) not in KEYS.tokens
