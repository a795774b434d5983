"""Decode Watch's messages, including those that protobuf refuses to decode.

SECURITY: everybody with SpiceDB's key chooses the metadata of their writes. SpiceDB accepts values that
are nested more deeply than Python's protobuf decodes. One such write must not hide all later ones.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from authzed.api.v1 import (
    Relationship,
    RelationshipUpdate,
    WatchResponse,
)
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from google.protobuf.unknown_fields import UnknownFieldSet

UNREADABLE = "unreadable"
"""The name of a caveat whose context cannot be decoded, in the text of its relationship."""
_METADATA = WatchResponse.OPTIONAL_TRANSACTION_METADATA_FIELD_NUMBER
_UPDATES = WatchResponse.UPDATES_FIELD_NUMBER
_CHANGES_THROUGH = WatchResponse.CHANGES_THROUGH_FIELD_NUMBER
_SCHEMA_UPDATED = WatchResponse.SCHEMA_UPDATED_FIELD_NUMBER
_RELATIONSHIP = RelationshipUpdate.RELATIONSHIP_FIELD_NUMBER
_CAVEAT = Relationship.OPTIONAL_CAVEAT_FIELD_NUMBER
_LENGTH_DELIMITED = 2


class Undecodable(Exception):
    """A message of Watch cannot be decoded, not even without the parts that a writer chooses freely."""


class WatchMessage(NamedTuple):
    """A message of Watch."""

    response: WatchResponse
    metadata: dict[str, Any] | None
    """The metadata of the write, None if it cannot be read."""


def decode_watch_message(data: bytes) -> WatchMessage:
    """Return the message. Its metadata, and the contexts of caveats, may be unreadable.

    Raises Undecodable if any other part is unreadable.
    """
    try:
        response = WatchResponse.FromString(data)
    except DecodeError:
        return _decode_in_parts(data)
    return WatchMessage(response, _metadata(response.optional_transaction_metadata))


def _decode_in_parts(data: bytes) -> WatchMessage:
    """Decode the parts of a message one by one, because the whole cannot be decoded."""
    response = WatchResponse()
    metadata: dict[str, Any] | None = {}
    try:
        for number, wire_type, value in _parts(data):
            if wire_type != _LENGTH_DELIMITED:
                if number == _SCHEMA_UPDATED:
                    response.schema_updated = bool(value)
            elif number == _UPDATES:
                response.updates.append(_decode_update(value))
            elif number == _METADATA:
                metadata = _decode_metadata(value)
            elif number == _CHANGES_THROUGH:
                response.changes_through.MergeFromString(value)
    except DecodeError as error:
        raise Undecodable(str(error)) from error
    if not response.changes_through.token:
        raise Undecodable("it names no revision")
    return WatchMessage(response, metadata)


def _decode_metadata(data: bytes) -> dict[str, Any] | None:
    try:
        return _metadata(Struct.FromString(data))
    except DecodeError:
        return None


def _metadata(struct: Struct) -> dict[str, Any] | None:
    """Return the metadata as JSON values; None if JSON cannot express them, such as NaN."""
    try:
        return MessageToDict(struct)
    except ValueError:
        return None


def _decode_update(data: bytes) -> RelationshipUpdate:
    """Return the update. If the context of its caveat cannot be decoded, the caveat is UNREADABLE."""
    try:
        return RelationshipUpdate.FromString(data)
    except DecodeError:
        update = RelationshipUpdate()
        for number, wire_type, value in _parts(data):
            if wire_type != _LENGTH_DELIMITED:
                update.operation = value
            elif number == _RELATIONSHIP:
                update.relationship.CopyFrom(_decode_relationship(value))
        return update


def _decode_relationship(data: bytes) -> Relationship:
    relationship = Relationship()
    for number, wire_type, value in _parts(data):
        if wire_type == _LENGTH_DELIMITED and number == _CAVEAT:
            relationship.optional_caveat.caveat_name = UNREADABLE
        elif wire_type == _LENGTH_DELIMITED:
            relationship.MergeFromString(_encoded(number, value))
    return relationship


def _parts(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield the number, the wire type and the value of each field, without decoding nested messages."""
    fields: Any = UnknownFieldSet(Empty.FromString(data))  # its stubs lack __iter__
    for field in fields:
        yield field.field_number, field.wire_type, field.data


def _encoded(number: int, value: bytes) -> bytes:
    """Return a field as protobuf's bytes."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
