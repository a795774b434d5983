"""The application behind a real HTTP server."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn

from teamaccess.api import create_app
from tests.world import World


@dataclass(frozen=True)
class Served:
    """Where a world's application listens."""

    world: World
    host: str
    port: int

    @property
    def url(self) -> str:
        """The base of its addresses."""
        return f"http://{self.host}:{self.port}"


@pytest.fixture(scope="session")
def served(fintoc: World) -> Iterator[Served]:
    """Fintoc's application, on a port and in a thread of its own, on the same databases."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(create_app(fintoc.settings), log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        host, port = listening.getsockname()
        yield Served(fintoc, host, port)
        server.should_exit = True
        thread.join()
