"""Which of an issuer's keys verifies a token, and how an unusable issuer is reported."""

from collections.abc import Callable
from typing import Any

import pytest

from teamaccess.directory.users.issuer import Issuer
from teamaccess.directory.users.signing_keys import LoginUnavailable
from teamaccess.directory.users.tokens import InvalidToken
from tests.support.issuer_server import (
    API,
    ED25519,
    OTHER_RSA,
    P256,
    P384,
    RSA,
    IssuerServer,
    Private,
    public,
)


@pytest.fixture
def issuer(issuer_server: IssuerServer) -> Issuer:
    return Issuer(issuer_server.url, API)


KEYS_WITH_ONE_KID = {
    "one RSA key for each algorithm": (
        [public(RSA, kid="k", alg=alg, use="sig") for alg in ("RS256", "RS384", "RS512")],
        [(RSA, "RS256"), (RSA, "RS384"), (RSA, "RS512")],
    ),
    "an RSA and an EC key": (
        [public(RSA, kid="k"), public(P256, kid="k")],
        [(RSA, "RS256"), (P256, "ES256"), (RSA, "PS512")],
    ),
    "a key for signatures and one for encryption": (
        [public(RSA, kid="k", use="sig"), public(OTHER_RSA, kid="k", use="enc")],
        [(RSA, "RS256")],
    ),
    "two curves": (
        [public(P384, kid="k"), public(P256, kid="k"), public(ED25519, kid="k")],
        [(P256, "ES256"), (P384, "ES384"), (ED25519, "EdDSA")],
    ),
    "two RSA keys that fit alike": (
        [public(RSA, kid="k"), public(OTHER_RSA, kid="k")],
        [(RSA, "RS256"), (OTHER_RSA, "RS256")],
    ),
}


@pytest.mark.parametrize(("keys", "signers"), KEYS_WITH_ONE_KID.values(), ids=KEYS_WITH_ONE_KID)
async def test_every_key_of_one_name_verifies_its_own_tokens(
    issuer_server: IssuerServer,
    issuer: Issuer,
    keys: list[dict[str, Any]],
    signers: list[tuple[Private, str]],
) -> None:
    for order in (keys, keys[::-1]):
        issuer_server.keys, again = order, Issuer(issuer_server.url, API)
        for private, algorithm in signers:
            login = await again.verify(issuer_server.token(private, algorithm, "k"))
            assert login.subject == "eve"


async def test_a_token_without_a_key_name_is_verified_by_the_only_key_that_fits(
    issuer_server: IssuerServer, issuer: Issuer
) -> None:
    issuer_server.keys = [
        public(RSA, kid="a"),
        public(P256, kid="b"),
        public(OTHER_RSA, kid="c", use="enc"),
        public(P384),
    ]
    for private, algorithm in ((RSA, "RS256"), (P256, "ES256"), (P384, "ES384")):
        assert (await issuer.verify(issuer_server.token(private, algorithm, None))).subject == "eve"


async def test_a_token_without_a_key_name_is_refused_where_several_keys_fit(
    issuer_server: IssuerServer, issuer: Issuer
) -> None:
    issuer_server.keys = [public(RSA, kid="a"), public(OTHER_RSA, kid="b")]
    with pytest.raises(InvalidToken, match=r"does not name its key \(kid\), and 2 keys"):
        await issuer.verify(issuer_server.token(RSA, "RS256", None))


UNSUITABLE_KEYS = {
    "of another kind": lambda: public(P256, kid="k"),
    "for another algorithm": lambda: public(RSA, kid="k", alg="RS512"),
    "for encryption": lambda: public(RSA, kid="k", use="enc"),
    "for other operations": lambda: public(RSA, kid="k", key_ops=["encrypt"]),
}


@pytest.mark.parametrize("key", UNSUITABLE_KEYS.values(), ids=UNSUITABLE_KEYS)
async def test_a_key_verifies_only_what_it_is_for(
    issuer_server: IssuerServer, issuer: Issuer, key: Callable[[], dict[str, Any]]
) -> None:
    issuer_server.keys = [key()]
    with pytest.raises(InvalidToken, match="unknown key"):
        await issuer.verify(issuer_server.token(RSA, "RS256", "k"))


async def test_an_unreadable_key_does_not_hide_another_one(
    issuer_server: IssuerServer, issuer: Issuer
) -> None:
    issuer_server.keys = [{"kty": "RSA", "kid": "k", "n": "?"}, public(RSA, kid="k")]
    assert (await issuer.verify(issuer_server.token(RSA, "RS256", "k"))).subject == "eve"


async def test_an_issuer_that_spells_itself_with_a_slash_is_named_as_the_cause(
    issuer_server: IssuerServer, issuer: Issuer
) -> None:
    issuer_server.keys, issuer_server.named = [public(RSA, kid="k")], issuer_server.url + "/"

    with pytest.raises(InvalidToken, match="differ only in the slash at the end"):
        await issuer.verify(issuer_server.token(RSA, "RS256", "k"))
    with pytest.raises(LoginUnavailable, match="differ only in the slash at the end"):
        await issuer.verify(issuer_server.token(RSA, "RS256", "k", iss=issuer_server.url))
    assert issuer.problem is not None
    assert f"Set TEAMACCESS_OIDC_ISSUER to {issuer_server.url}/" in issuer.problem


async def test_tokens_that_spell_the_issuer_with_a_slash_are_a_problem_once_one_is_genuine(
    issuer_server: IssuerServer, issuer: Issuer
) -> None:
    issuer_server.keys = [public(RSA, kid="k")]
    slash = {"iss": issuer_server.url + "/"}

    for private, known in ((OTHER_RSA, False), (RSA, True)):
        with pytest.raises(InvalidToken, match="differ only in the slash at the end"):
            await issuer.verify(issuer_server.token(private, "RS256", "k", **slash))
        assert (issuer.problem is not None) is known
    await issuer.verify(issuer_server.token(RSA, "RS256", "k"))
    assert issuer.problem is None


async def test_an_issuer_that_does_not_answer_is_a_problem(issuer_server: IssuerServer) -> None:
    away = Issuer(f"{issuer_server.url}/nowhere", API)
    issuer_server.server_close()
    await away.keys.refresh()
    assert away.problem is not None
    assert "does not answer" in away.problem


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
async def test_an_answer_with_a_key_twice_is_a_problem(
    issuer_server: IssuerServer, issuer: Issuer, path: str
) -> None:
    keys = f"{issuer_server.url}/keys"
    issuer_server.keys = [public(RSA, kid="k")]
    issuer_server.bodies[path] = {
        "/keys": '{"keys": [], "keys": []}',
        "/.well-known/openid-configuration": (
            f'{{"issuer": "{issuer_server.url}", "jwks_uri": "{keys}/1", "jwks_uri": "{keys}"}}'
        ),
    }[path]
    with pytest.raises(LoginUnavailable, match="2 times in one object"):
        await issuer.verify(issuer_server.token(RSA, "RS256", "k"))
    assert issuer.problem is not None
    assert issuer.problem.startswith(f"the answer of {issuer_server.url}{path} is ambiguous: ")
