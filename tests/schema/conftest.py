"""An empty SpiceDB for every test that asks for one."""

from collections.abc import Iterator

import grpc
import pytest

from teamaccess.local.spicedb.binary import find_spicedb
from tests.schema.engine import Engine, serve_testing


@pytest.fixture(scope="session")
def testing_channel() -> Iterator[grpc.Channel]:
    spicedb = find_spicedb()
    assert spicedb, "SpiceDB is not built yet: run `make setup`"
    with serve_testing(spicedb) as channel:
        yield channel


@pytest.fixture
def engine(testing_channel: grpc.Channel) -> Engine:
    return Engine(testing_channel)
