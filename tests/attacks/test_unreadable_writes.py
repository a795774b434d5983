"""Mallory has SpiceDB's key and writes what Python's protobuf does not decode.

SpiceDB accepts metadata that is nested more deeply than protobuf decodes in Python. Such a write must
neither end the watch of all tenants nor hide what follows it.
"""

import re
from typing import Any

import grpc
import pytest
from authzed.api.v1 import (
    ObjectReference,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
    WatchResponse,
    WriteRelationshipsRequest,
    ZedToken,
)
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from teamaccess.engine import EngineUnavailable, Undecodable
from teamaccess.engine.watch import observed_write
from teamaccess.engine.watch_message import decode_watch_message
from teamaccess.upkeep.worker import watcher
from tests.attacks.test_forged_provenance import (
    forge,
    found,
    is_reported,
    promotion,
    reported,
    watch_has_begun,
)
from tests.attacks.test_schema_swap import foreign_schemas, opened_up
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import running_worker, wait_until
from tests.upkeep.worker.test_unwatched import unwatched

WRITE = "/authzed.api.v1.PermissionsService/WriteRelationships"
METADATA = WriteRelationshipsRequest.OPTIONAL_TRANSACTION_METADATA_FIELD_NUMBER
LIST, NESTED = 6, 1


@pytest.fixture
async def acme(isolated: Deployment) -> Organization:
    """The organization that Mallory is after."""
    return await isolated.create_organization("acme")


@pytest.fixture
async def globex(isolated: Deployment) -> Organization:
    """Another organization."""
    return await isolated.create_organization("globex")


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field as protobuf's bytes."""
    encoded, length = bytearray([number << 3 | 2]), len(data)
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*encoded, length]) + data


def nested(levels: int) -> bytes:
    """A Struct with lists in lists."""
    value = b"\x08\x00"
    for _ in range(levels):
        value = field(LIST, field(NESTED, value))
    return field(1, field(1, b"x") + field(2, value))


def administrator(organization: str) -> Relationship:
    """The relationship that makes Eve an administrator."""
    return Relationship(
        resource=ObjectReference(object_type="organization", object_id=organization),
        relation="administrator",
        subject=SubjectReference(object=ObjectReference(object_type="user", object_id="eve")),
    )


def touch(relationship: Relationship) -> RelationshipUpdate:
    """An update that gives the relationship."""
    return RelationshipUpdate(
        operation=RelationshipUpdate.OPERATION_TOUCH, relationship=relationship
    )


def watch_message(*updates: bytes, metadata: bytes = b"") -> bytes:
    """A message of Watch with these parts."""
    token = WatchResponse(changes_through=ZedToken(token="z")).SerializeToString()
    parts = [*(field(WatchResponse.UPDATES_FIELD_NUMBER, update) for update in updates), token]
    if metadata:
        parts.append(field(WatchResponse.OPTIONAL_TRANSACTION_METADATA_FIELD_NUMBER, metadata))
    return b"".join(parts)


async def write_nested(organization: Organization, levels: int = 60) -> None:
    """Make Eve an administrator, with metadata that protobuf does not decode."""
    settings = organization.deployment.settings
    request = WriteRelationshipsRequest(updates=[touch(administrator(organization.id))])
    key = settings.spicedb_preshared_key.get_secret_value()
    async with grpc.aio.insecure_channel(settings.spicedb_endpoint) as channel:
        write: Any = channel.unary_unary(WRITE)
        await write(
            request.SerializeToString() + field(METADATA, nested(levels)),
            metadata=(("authorization", f"Bearer {key}"),),
        )


@pytest.mark.parametrize("levels", [60, 3000])
async def test_a_write_with_deeply_nested_metadata_is_found_and_hides_nothing(
    isolated: Deployment, acme: Organization, globex: Organization, levels: int
) -> None:
    with pytest.raises(DecodeError):
        Struct.FromString(nested(levels))
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        await write_nested(acme, levels)
        await forge(isolated, promotion(globex))
        await wait_until(lambda: is_reported(globex, promotion(globex)), seconds=20)
        assert await reported(acme) == [promotion(acme)]
        [finding] = await found(acme)
        assert finding["why"] == watcher.UNREADABLE_METADATA
        assert finding["metadata"] == {}


async def test_a_schema_swapped_after_such_a_write_is_found(
    isolated: Deployment, acme: Organization
) -> None:
    bob = await acme.member("bob", roles=["support"])
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        await write_nested(acme)
        schema = isolated.service.catalog.schema()
        await isolated.service.engine.write_schema(opened_up(schema))
        await isolated.service.engine.write_schema(schema)

        async def swap_found() -> bool:
            return bool(await foreign_schemas(isolated))

        await wait_until(swap_found, seconds=20)
        refused(await acme.change_roles(bob, "product"), 503, "foreign_schema_found")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_metadata_that_json_cannot_express_is_unreadable(number: str) -> None:
    metadata = Struct()
    metadata["x"] = float(number)
    update = touch(administrator("acme")).SerializeToString()
    observed = observed_write(
        decode_watch_message(watch_message(update, metadata=metadata.SerializeToString()))
    )
    assert observed.metadata_unreadable
    assert [str(each) for each in observed.updates] == [
        "TOUCH organization:acme#administrator@user:eve"
    ]


def test_the_nested_context_of_a_caveat_leaves_the_relationship_readable() -> None:
    caveat = field(1, b"weekdays") + field(2, nested(3000))
    relationship = administrator("acme").SerializeToString() + field(4, caveat)
    other = touch(administrator("globex")).SerializeToString()
    observed = observed_write(
        decode_watch_message(watch_message(b"\x08\x02" + field(2, relationship), other))
    )
    assert observed.unreadable == ("organization:acme#administrator@user:eve[unreadable]",)
    assert [str(each) for each in observed.updates] == [
        "TOUCH organization:globex#administrator@user:eve"
    ]


def test_an_impossible_expiration_leaves_the_relationship_readable() -> None:
    relationship = administrator("acme")
    relationship.optional_expires_at.CopyFrom(Timestamp(seconds=10**15))
    observed = observed_write(
        decode_watch_message(watch_message(touch(relationship).SerializeToString()))
    )
    assert observed.unreadable == (
        "organization:acme#administrator@user:eve[expiration:1000000000000000]",
    )


@pytest.mark.parametrize("message", [b"\xff\xff", field(2, b"\xff"), field(3, nested(60))])
def test_a_message_without_a_readable_revision_is_undecodable(message: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_watch_message(message)


async def test_long_metadata_is_left_out_of_the_finding(
    isolated: Deployment, acme: Organization
) -> None:
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        await forge(isolated, promotion(acme), note="x" * 20_000)
        await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)
    [finding] = await found(acme)
    assert finding["why"] == watcher.OMITTED_METADATA


@pytest.mark.parametrize(
    "failure", [EngineUnavailable(cause="INTERNAL: again and again"), OverflowError("a mistake")]
)
async def test_a_watch_that_always_fails_continues_at_the_present_and_is_a_finding(
    isolated: Deployment,
    acme: Organization,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
) -> None:
    """SpiceDB answers every other question, so this is not an outage."""
    bob = await acme.member("bob", roles=["support"])
    monkeypatch.setattr(watcher, "STALLED_SECONDS", 1.0)
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
    watch = isolated.service.engine.watch
    async with isolated.service.reads() as session:
        poisoned = await session.scalar(text("SELECT zed_token FROM watch_cursor"))

    async def watching(since: str | None = None):  # type: ignore[no-untyped-def]
        if since == poisoned:
            raise failure
        async for observed in watch(since):
            yield observed

    monkeypatch.setattr(isolated.service.engine, "watch", watching)
    async with running_worker(isolated):

        async def gap_found() -> bool:
            return bool(await unwatched(isolated))

        await wait_until(gap_found, seconds=20)
        await wait_until(lambda: watch_has_begun(isolated), seconds=20)
        refused(await acme.change_roles(bob, "product"), 503, "foreign_schema_found")
        await forge(isolated, promotion(acme))
        await wait_until(lambda: is_reported(acme, promotion(acme)), seconds=20)


async def test_operators_see_in_readyz_how_long_nobody_watched(isolated: Deployment) -> None:
    operator = await isolated.operator_person()
    async with isolated.service.sessions.begin() as session:
        await session.execute(
            text("INSERT INTO watch_cursor VALUES (1, '', clock_timestamp() - interval '1 hour')")
        )
    assert (await operator.ask("GET", "/readyz")).json()["unwatched_seconds"] > 3600
    assert (await isolated.http.get("/readyz")).json()["unwatched_seconds"] is None
    assert re.search(
        r"^teamaccess_watch_unwatched_seconds [0-9.]+$",
        (await operator.ask("GET", "/metrics")).text,
        re.MULTILINE,
    )
