"""Watch: SpiceDB's report of every write by anybody."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from authzed.api.v1 import RelationshipUpdate, WatchRequest, ZedToken
from authzed.api.v1.watch_service_pb2 import (
    WATCH_KIND_INCLUDE_CHECKPOINTS,
    WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES,
    WATCH_KIND_INCLUDE_SCHEMA_UPDATES,
)
from grpc import StatusCode
from grpc.aio import EOF, AioRpcError, Channel

from teamaccess.engine.convert import relationship_from_message, relationship_text
from teamaccess.engine.errors import EngineUnavailable, translate
from teamaccess.engine.watch_message import WatchMessage, decode_watch_message
from teamaccess.relationships import Delete, Touch, Update

METHOD = "/authzed.api.v1.WatchService/Watch"
KINDS = (
    WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES,
    WATCH_KIND_INCLUDE_SCHEMA_UPDATES,
    WATCH_KIND_INCLUDE_CHECKPOINTS,
)
SILENCE_SECONDS = 30.0
"""How long silence means a lost connection. SpiceDB sends a message every second, even without writes."""


class TooLarge(Exception):
    """One write changed more than a message can hold; none of ours does."""


@dataclass(frozen=True)
class ObservedWrite:
    """One write. Without updates, it reports that there was no write up to the token."""

    updates: tuple[Update, ...]
    unreadable: tuple[str, ...]
    """Relationships that our vocabulary cannot express. So none of our writes can have made them."""
    metadata: dict[str, Any]
    """The metadata of the write. It is empty if the writer sent none, or if it is unreadable."""
    zed_token: str
    """The revision after which watching continues."""
    schema_updated: bool = False
    """Whether a schema was written, perhaps the same one again."""
    metadata_unreadable: bool = False
    """Whether the writer sent metadata that cannot be read. None of our writes does."""

    @property
    def is_checkpoint(self) -> bool:
        """Whether it reports that every write up to the token has been reported."""
        return not (self.updates or self.unreadable or self.schema_updated)


async def watch(
    channel: Channel, credentials: tuple[tuple[str, str], ...], since: str | None
) -> AsyncIterator[ObservedWrite]:
    """Yield every write after the ZedToken `since`, by default from now on.

    Raises EngineUnavailable if SpiceDB goes away, EngineRefused if it cannot continue from the token,
    TooLarge if the next write does not fit into a message, and Undecodable if it cannot be decoded.
    """
    # without a deserializer, because gRPC reports a message that it cannot decode as an outage
    begin: Any = channel.unary_stream(METHOD, request_serializer=WatchRequest.SerializeToString)
    request = WatchRequest(
        optional_start_cursor=ZedToken(token=since) if since else None,
        optional_update_kinds=KINDS,
    )
    call = begin(request, metadata=credentials)
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                data = await call.read()
            if data is EOF:
                return
            yield observed_write(decode_watch_message(data))
    except AioRpcError as error:
        if error.code() is StatusCode.RESOURCE_EXHAUSTED and "larger than" in str(error.details()):
            raise TooLarge(error.details()) from error
        raise translate(error) from error
    except TimeoutError as silence:
        raise EngineUnavailable(cause="it stopped sending what is written") from silence
    finally:
        call.cancel()


def observed_write(received: WatchMessage) -> ObservedWrite:
    response, metadata = received
    updates, unreadable = list[Update](), list[str]()
    for message in response.updates:
        try:
            updates.append(_update(message))
        except (ValueError, OverflowError):  # InvalidRelationship, or a time that is out of range
            unreadable.append(relationship_text(message.relationship))
    return ObservedWrite(
        updates=tuple(updates),
        unreadable=tuple(unreadable),
        metadata=metadata or {},
        zed_token=response.changes_through.token,
        schema_updated=response.schema_updated,
        metadata_unreadable=metadata is None,
    )


def _update(message: RelationshipUpdate) -> Update:
    relationship = relationship_from_message(message.relationship)
    if message.operation == RelationshipUpdate.OPERATION_DELETE:
        return Delete(relationship)
    return Touch(relationship)
