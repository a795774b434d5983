"""Run a request once, however often it is sent with the same `Idempotency-Key`."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from litestar import Request
from litestar.status_codes import HTTP_200_OK as HTTP_OK
from litestar.status_codes import HTTP_300_MULTIPLE_CHOICES as HTTP_MULTIPLE_CHOICES
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from teamaccess.changes import Change, Receipt
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.ledger.zed_tokens import zed_token_or_none
from teamaccess.service import Service
from teamaccess.storage import (
    IdempotencyKey,
    LedgerApplication,
    OrganizationId,
    is_organization_id,
)
from teamaccess.storage.advisory_locks import Purpose

KEY_LIFE = timedelta(days=1)
LONGEST_KEY = 255
POSITION_LIMIT = 2**63
"""Every position is smaller, because it is a bigint of PostgreSQL."""


class InvalidIdempotencyKey(Invalid):
    """The header `Idempotency-Key` has a form that the service does not store."""

    message = "An Idempotency-Key must have 1 to 255 printable ASCII characters."


class IdempotencyKeyInUse(Conflict):
    """The first request with this key has not been answered yet."""

    message = "Another request with this Idempotency-Key is still in progress. Try again shortly."
    retry_after = 1


class IdempotencyKeyReused(Conflict):
    """The key belongs to an earlier request with another method, path or body."""

    message = (
        "This Idempotency-Key was used for a different request. Use a new key for each request."
    )


class StoredAnswerUnusable(Conflict):
    """The stored answer of the key is not one that this service could have stored."""

    message = (
        "The stored answer of this Idempotency-Key can't be read. Check whether the change was made, and "
        "use a new key."
    )


@dataclass
class Replay(Exception):
    """The request ran before. This is its answer."""

    status_code: int
    body: Any
    positions: dict[str, int]

    async def receipts(self, service: Service) -> list[Receipt]:
        """Return the current progress of the change."""
        async with service.reads() as session:
            return [
                Receipt(
                    OrganizationId(organization),
                    position,
                    zed_token_or_none(
                        await session.scalar(
                            select(LedgerApplication.zed_token).where(
                                LedgerApplication.organization_id == organization,
                                LedgerApplication.position == position,
                            )
                        )
                    ),
                )
                for organization, position in self.positions.items()
            ]


async def begin_once(change: Change, request: Request[Any, Any, Any]) -> IdempotencyKey | None:
    """Claim the request's key in this change's transaction. Return None if the request has no key.

    SECURITY: this change holds its organization's lock, and another request with the key may be about
    another organization. So it never waits for that request: it raises IdempotencyKeyInUse.

    Raises Replay if the request ran before, and IdempotencyKeyReused if a different request had the key.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None or request.user is None:
        return None
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise InvalidIdempotencyKey
    fingerprint = await _fingerprint(request)
    actor = change.attribution.actor
    alone = change.locks.try_lock(Purpose.IDEMPOTENCY_KEY, actor, key)
    if not await change.session.scalar(alone):
        raise IdempotencyKeyInUse
    await change.session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.actor == actor, IdempotencyKey.created_at < change.now - KEY_LIFE
        )
    )
    claimed: IdempotencyKey | None = await change.session.scalar(
        insert(IdempotencyKey)
        .values(actor=actor, key=key, fingerprint=fingerprint, status_code=0, positions={})
        .on_conflict_do_nothing()
        .returning(IdempotencyKey)
    )
    if claimed is None:
        done = await change.session.get_one(IdempotencyKey, (actor, key))
        if done.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        raise stored_answer(done)
    return claimed


def stored_answer(done: IdempotencyKey) -> Replay:
    """Return the stored answer. Raises StoredAnswerUnusable if this service could not have stored it.

    SECURITY: the application's database role can write any answer, and its positions become headers.
    """
    positions: Any = done.positions
    if (
        not isinstance(positions, dict)
        or not HTTP_OK <= done.status_code < HTTP_MULTIPLE_CHOICES
        or not all(is_organization_id(id) for id in positions)
        or not all(type(each) is int and 0 <= each < POSITION_LIMIT for each in positions.values())
    ):
        raise StoredAnswerUnusable
    return Replay(done.status_code, done.body, positions)


async def finish_once(
    change: Change, claimed_key: IdempotencyKey, status_code: int, body: Any
) -> None:
    """Store the answer with the key, in the transaction of the change itself."""
    claimed_key.status_code = status_code
    claimed_key.body = msgspec.to_builtins(body)
    claimed_key.positions = {str(k): v for k, v in (await change.decide()).items()}


async def _fingerprint(request: Request[Any, Any, Any]) -> bytes:
    """Return a hash of everything that determines what the request does."""
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode())
    if (condition := request.headers.get("If-Match")) is not None:
        digest.update(f"If-Match: {condition}\n".encode())
    digest.update(await request.body())
    return digest.digest()
