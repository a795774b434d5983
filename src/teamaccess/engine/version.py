"""The version of SpiceDB, which it reports in the metadata of an answer."""

import re
from typing import TYPE_CHECKING

from authzed.api.v1 import ReadSchemaRequest
from grpc import StatusCode
from grpc.aio import AioRpcError

from teamaccess.engine.errors import translate

if TYPE_CHECKING:
    from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceAsyncStub

ASK = ("io.spicedb.requestversion", "1")
ANSWER = "io.spicedb.debug.version"
SECONDS = 2.0


async def read_version(
    schema: "SchemaServiceAsyncStub", metadata: tuple[tuple[str, str], ...]
) -> str | None:
    """Return SpiceDB's version, such as `1.57.1`; None if SpiceDB is configured to hide it.

    A SpiceDB without a schema reports its version too. Raises EngineUnavailable
    and EngineRefused.
    """
    call = schema.ReadSchema(ReadSchemaRequest(), timeout=SECONDS, metadata=(*metadata, ASK))
    try:
        await call
        trailing = await call.trailing_metadata()
    except AioRpcError as error:
        if (
            error.code() is not StatusCode.NOT_FOUND
        ):  # without a schema, the metadata is still there
            raise translate(error) from error
        trailing = error.trailing_metadata()
    reported = next((str(value) for key, value in trailing if key == ANSWER), "")
    found = re.search(r"\d+(\.\d+)+", reported)
    return found[0] if found else None
