"""What SpiceDB tells of every write, whoever made it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from authzed.api.v1 import RelationshipUpdate, WatchRequest, WatchResponse, ZedToken
from authzed.api.v1.watch_service_pb2 import (
    WATCH_KIND_INCLUDE_CHECKPOINTS,
    WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES,
    WATCH_KIND_INCLUDE_SCHEMA_UPDATES,
)
from authzed.api.v1.watch_service_pb2_grpc import WatchServiceStub
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from grpc.aio import AioRpcError, Channel

from teamaccess.engine.bulk import text_of
from teamaccess.engine.convert import relationship_of
from teamaccess.engine.errors import EngineUnavailable, translate
from teamaccess.relationships import Delete, InvalidRelationship, Touch, Update

KINDS = (
    WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES,
    WATCH_KIND_INCLUDE_SCHEMA_UPDATES,
    WATCH_KIND_INCLUDE_CHECKPOINTS,
)
SILENCE_SECONDS = 30.0
"""SpiceDB says every second that nothing was written: who hears nothing has lost the connection."""


class TooLarge(Exception):
    """One write changed more than a message can hold; none of ours does."""


@dataclass(frozen=True)
class Observed:
    """One write; without updates it only says that there was none up to the token."""

    updates: tuple[Update, ...]
    unreadable: tuple[str, ...]
    """Relationships that our vocabulary has no words for, so that no write of ours can have made them."""
    metadata: dict[str, Any]
    """What whoever wrote said of it; empty where they said nothing."""
    zed_token: str
    """Watching goes on after this."""
    schema_updated: bool = False
    """Whether somebody wrote a schema, perhaps the same one again."""


async def watch(
    channel: Channel, credentials: tuple[tuple[str, str], ...], since: str | None
) -> AsyncIterator[Observed]:
    """Yield every write after the token, or from now on, for as long as SpiceDB lives.

    Raises EngineUnavailable when it does not, EngineRefused for a token that it cannot go on from, and
    TooLarge where the next write can never be told.
    """
    stub: Any = WatchServiceStub(channel)  # its types know only the calls that block
    request = WatchRequest(
        optional_start_cursor=ZedToken(token=since) if since else None,
        optional_update_kinds=KINDS,
    )
    call = stub.Watch(request, metadata=credentials)
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                response = await call.read()
            if not response:  # the end
                return
            yield _observed(response)
    except AioRpcError as error:
        if error.code() is StatusCode.RESOURCE_EXHAUSTED and "larger than" in str(error.details()):
            raise TooLarge(error.details()) from error
        raise translate(error) from error
    except TimeoutError as silence:
        raise EngineUnavailable(cause="it stopped telling what is written") from silence
    finally:
        call.cancel()


def _observed(response: WatchResponse) -> Observed:
    updates, unreadable = list[Update](), list[str]()
    for message in response.updates:
        try:
            updates.append(_update(message))
        except InvalidRelationship:
            unreadable.append(text_of(message.relationship))
    return Observed(
        updates=tuple(updates),
        unreadable=tuple(unreadable),
        metadata=MessageToDict(response.optional_transaction_metadata),
        zed_token=response.changes_through.token,
        schema_updated=response.schema_updated,
    )


def _update(message: RelationshipUpdate) -> Update:
    relationship = relationship_of(message.relationship)
    if message.operation == RelationshipUpdate.OPERATION_DELETE:
        return Delete(relationship)
    return Touch(relationship)
