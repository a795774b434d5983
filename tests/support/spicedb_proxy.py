"""Faults between the application and a real SpiceDB, on command."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Channel, Metadata, ServicerContext, insecure_channel

from teamaccess.upkeep.worker import run_worker
from teamaccess.upkeep.worker.ends import end_due
from tests.support.deployment import Deployment, open_deployment
from tests.support.organization import Organization
from tests.support.people import Person

WRITE = "/authzed.api.v1.PermissionsService/WriteRelationships"
STREAMS = ("ReadRelationships", "LookupResources", "LookupSubjects", "Watch")

Context = ServicerContext[bytes, bytes]
Headers = tuple[tuple[str, str | bytes], ...]


class Writes(Enum):
    """What happens to writes on their way."""

    ARRIVE = auto()
    FAIL = auto()
    """They do not arrive, and the caller gets an error."""
    LOSE_ANSWERS = auto()
    """They arrive, and the caller gets an error."""
    DELAY = auto()
    """They wait until a test delivers them."""


@dataclass(frozen=True)
class DelayedWrite:
    """A write that its sender has long given up."""

    request: bytes
    metadata: Headers


class SpiceDBProxy(grpc.GenericRpcHandler):
    """A gRPC proxy in front of a SpiceDB. Calls pass unless a test changes that."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._server: grpc.aio.Server | None = None
        self.endpoint = "127.0.0.1:0"
        self.writes = Writes.ARRIVE
        self.code = grpc.StatusCode.UNAVAILABLE
        """The status of a write that fails or whose answer is lost."""
        self.answers = True
        """Whether SpiceDB answers at all."""
        self.seen: list[str] = []
        """The methods called, in order."""
        self.delayed: list[DelayedWrite] = []
        self.delayed_changed = asyncio.Condition()

    async def start(self) -> None:
        """Listen, at the same address every time."""
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        port = self._server.add_insecure_port(self.endpoint)
        self.endpoint = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """End every connection and refuse new ones."""
        assert self._server is not None
        await self._server.stop(grace=None)

    async def deliver_delayed(self) -> list[grpc.StatusCode]:
        """Deliver the delayed writes. Returns SpiceDB's status for each."""
        outcomes = []
        for late in self.delayed:
            try:
                await self._forward(WRITE, late.request, late.metadata)
                outcomes.append(grpc.StatusCode.OK)
            except AioRpcError as error:
                outcomes.append(error.code())
        self.delayed.clear()
        return outcomes

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """The handler of a call, as gRPC asks for it."""
        method = details.method
        if method.rpartition("/")[2] in STREAMS:

            async def stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
                async for answer in self._stream(method, request, context):
                    yield answer

            return grpc.unary_stream_rpc_method_handler(stream)

        async def call(request: bytes, context: Context) -> bytes:
            return await self._call(method, request, context)

        return grpc.unary_unary_rpc_method_handler(call)

    async def _call(self, method: str, request: bytes, context: Context) -> bytes:
        self.seen.append(method)
        await self._hang_if_silent()
        metadata = _passed_on(context)
        if method == WRITE and self.writes is Writes.DELAY:
            async with self.delayed_changed:
                self.delayed.append(DelayedWrite(request, metadata))
                self.delayed_changed.notify_all()
            await asyncio.Event().wait()  # until the caller gives up
        if method == WRITE and self.writes is Writes.FAIL:
            await context.abort(self.code, "the link is broken")
        try:
            answer = await self._forward(method, request, metadata)
        except AioRpcError as error:
            await _abort(context, error)
            raise
        if method == WRITE and self.writes is Writes.LOSE_ANSWERS:
            await context.abort(self.code, "the answer got lost")
        return answer

    async def _hang_if_silent(self) -> None:
        if not self.answers:
            await asyncio.Event().wait()  # until the caller gives up

    async def _forward(self, method: str, request: bytes, metadata: Headers) -> bytes:
        forward: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        forward = self._channel.unary_unary(method)
        return await forward(request, metadata=Metadata(*metadata))

    async def _stream(self, method: str, request: bytes, context: Context) -> AsyncIterator[bytes]:
        self.seen.append(method)
        await self._hang_if_silent()
        forward: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
        forward = self._channel.unary_stream(method)
        answers = forward(request, metadata=Metadata(*_passed_on(context)))
        try:
            async for answer in answers:
                yield answer
        except AioRpcError as error:
            await _abort(context, error)


def _passed_on(context: Context) -> Headers:
    sent = context.invocation_metadata() or ()
    return tuple((key, value) for key, value in sent if key == "authorization")


async def _abort(context: Context, error: AioRpcError) -> None:
    details = tuple(
        (key, value)
        for key, value in error.trailing_metadata() or ()
        if key == "grpc-status-details-bin"
    )
    await context.abort(error.code(), error.details() or "", details)


@asynccontextmanager
async def another_process(deployment: Deployment, **other: object) -> AsyncIterator[Deployment]:
    """A second teamaccess on the same database: its own connections and its own memory.

    `other` are settings in which it differs.
    """
    settings = deployment.settings.model_copy(update=other)
    async with open_deployment(settings, deployment.owner_url) as second:
        yield second


@asynccontextmanager
async def behind_proxy(
    deployment: Deployment, **other: object
) -> AsyncIterator[tuple[Deployment, SpiceDBProxy]]:
    """A second teamaccess whose connection to SpiceDB can be broken."""
    async with insecure_channel(deployment.settings.spicedb_endpoint) as channel:
        proxy = SpiceDBProxy(channel)
        await proxy.start()
        try:
            async with another_process(
                deployment, spicedb_endpoint=proxy.endpoint, **other
            ) as second:
                yield second, proxy
        finally:
            await proxy.stop()


@asynccontextmanager
async def running_worker(deployment: Deployment) -> AsyncIterator[None]:
    """Run a worker during the block."""
    async with beside(run_worker(deployment.service)):
        yield


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine during the block, and cancel it at the end."""
    job = asyncio.create_task(work)
    try:
        yield
    finally:
        job.cancel()
        await asyncio.wait([job])


async def sweep(organization: Organization) -> int:
    """Sweep the expired rows of one organization, as a worker does. Returns how many."""
    ended = 0
    while now := await end_due(organization.deployment.service.ledger, organization.id):
        ended += now
    return ended


def served_by(deployment: Deployment, organization: Organization) -> Organization:
    """The same organization and people, who send their requests to the process of the deployment."""
    people = {
        name: replace(person, deployment=deployment) for name, person in organization.people.items()
    }
    administrator: Person = replace(organization.administrator, deployment=deployment)
    return replace(organization, deployment=deployment, administrator=administrator, people=people)


def before_first_call(
    monkeypatch: pytest.MonkeyPatch,
    deployment: Deployment,
    call: str,
    then: Callable[[], Awaitable[None]],
) -> None:
    """Call `then` once, before the first call of this method of the engine."""
    engine, calls = deployment.service.engine, 0
    real = getattr(engine, call)

    async def calling(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await then()
        return await real(*args, **more)

    monkeypatch.setattr(engine, call, calling)


async def wait_until(holds: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Poll until a condition that sends no event is true."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
