"""The application behind the real HTTP server, on a port and in a thread."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from teamaccess.api import create_app
from teamaccess.api.requests.receiving import LARGEST_BATCH
from teamaccess.api.server import ConnectionLimits, LimitedServer, create_server
from teamaccess.service import Service
from tests.support.deployment import Deployment


@dataclass(frozen=True)
class HttpServer:
    """A running HTTP server."""

    deployment: Deployment
    host: str
    port: int
    server: LimitedServer

    @property
    def service(self) -> Service:
        """The service of this server's application."""
        service: Service = self.server.config.app.state.service  # type: ignore[union-attr]
        return service

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.host}:{self.port}"


@contextmanager
def serve_http(deployment: Deployment, **settings: Any) -> Iterator[HttpServer]:
    """Serve the deployment's application on the same databases, with other settings if given."""
    chosen = deployment.settings.model_copy(update=settings)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        server = create_server(create_app(chosen), ConnectionLimits.of(chosen, LARGEST_BATCH))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while (
            not server.started and thread.is_alive()
        ):  # the socket listens before the service is ready
            time.sleep(0.01)
        host, port = listening.getsockname()
        try:
            yield HttpServer(deployment, host, port, server)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def http_server(fintoc: Deployment) -> Iterator[HttpServer]:
    """Fintoc's application behind the real HTTP server, with the default limits."""
    with serve_http(fintoc) as server:
        yield server
