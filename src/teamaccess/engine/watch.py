"""What SpiceDB tells of every write, whoever made it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from authzed.api.v1 import RelationshipUpdate, WatchRequest, WatchResponse, ZedToken
from authzed.api.v1.watch_service_pb2 import (
    WATCH_KIND_INCLUDE_CHECKPOINTS,
    WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES,
)
from authzed.api.v1.watch_service_pb2_grpc import WatchServiceStub
from google.protobuf.json_format import MessageToDict
from grpc.aio import AioRpcError, Channel

from teamaccess.engine.convert import relationship_of
from teamaccess.engine.errors import translate
from teamaccess.relationships import Delete, Touch, Update

KINDS = (WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES, WATCH_KIND_INCLUDE_CHECKPOINTS)


@dataclass(frozen=True)
class Observed:
    """One write; without updates it only says that there was none up to the token."""

    updates: tuple[Update, ...]
    metadata: dict[str, Any]
    """What whoever wrote said of it; empty where they said nothing."""
    zed_token: str
    """Watching goes on after this."""


async def watch(
    channel: Channel, credentials: tuple[tuple[str, str], ...], since: str | None
) -> AsyncIterator[Observed]:
    """Yield every write after the token, or from now on, for as long as SpiceDB lives.

    Raises EngineUnavailable when it does not, EngineRefused for a token that it cannot go on from.
    """
    stub: Any = WatchServiceStub(channel)  # its types know only the calls that block
    request = WatchRequest(
        optional_start_cursor=ZedToken(token=since) if since else None,
        optional_update_kinds=KINDS,
    )
    try:
        async for response in stub.Watch(request, metadata=credentials):
            yield _observed(response)
    except AioRpcError as error:
        raise translate(error) from error


def _observed(response: WatchResponse) -> Observed:
    return Observed(
        updates=tuple(_update(update) for update in response.updates),
        metadata=MessageToDict(response.optional_transaction_metadata),
        zed_token=response.changes_through.token,
    )


def _update(message: RelationshipUpdate) -> Update:
    relationship = relationship_of(message.relationship)
    if message.operation == RelationshipUpdate.OPERATION_DELETE:
        return Delete(relationship)
    return Touch(relationship)
