"""A small issuer over HTTP, which publishes any keys and any name."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

API = "https://api.example"
RSA, OTHER_RSA = (rsa.generate_private_key(65537, 2048) for _ in range(2))
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def public(private: Private, **more: Any) -> dict[str, Any]:
    """The public half of a key as an issuer publishes it."""
    match private:
        case rsa.RSAPrivateKey():
            jwk = RSAAlgorithm.to_jwk(private.public_key())
        case ec.EllipticCurvePrivateKey():
            jwk = ECAlgorithm.to_jwk(private.public_key())
        case _:
            jwk = OKPAlgorithm.to_jwk(private.public_key())
    return {name: value for name, value in json.loads(jwk).items() if name != "key_ops"} | more


class IssuerServer(ThreadingHTTPServer):
    """An issuer that publishes these keys, under a name that the test chooses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.named = self.url
        self.keys: list[dict[str, Any]] = []
        self.bodies: dict[str, str] = {}
        """What the issuer answers instead, by path."""

    def token(self, private: Private, algorithm: str, kid: str | None, **claims: Any) -> str:
        """A token with the times of this moment."""
        now = int(time.time())
        payload = {
            "iss": self.named,
            "sub": "eve",
            "aud": API,
            "iat": now,
            "exp": now + 600,
            **claims,
        }
        return jwt.encode(payload, private, algorithm, headers={"kid": kid} if kid else None)


class _Answers(BaseHTTPRequestHandler):
    server: IssuerServer

    def do_GET(self) -> None:
        keys = {"keys": self.server.keys}
        about = {"issuer": self.server.named, "jwks_uri": f"{self.server.url}/keys"}
        body = json.dumps(keys if self.path == "/keys" else about)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.bodies.get(self.path, body).encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def issuer_server() -> Iterator[IssuerServer]:
    """An issuer without keys yet."""
    with IssuerServer() as started:
        thread = threading.Thread(target=started.serve_forever)
        thread.start()
        yield started
        started.shutdown()
        thread.join()
