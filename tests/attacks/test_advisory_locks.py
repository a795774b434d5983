"""No text that a caller chooses has the number of another caller's advisory lock."""

import asyncio
import random
import struct
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

import teamaccess
from teamaccess.storage.advisory_locks import AdvisoryLocks, Purpose
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import before_first_call

WORD = 0xFFFFFFFF
BLOCK = 12
MIX = ((0, 2, 4), (1, 0, 6), (2, 1, 8), (0, 2, 16), (1, 0, 19), (2, 1, 4))
"""The steps of `mix` in PostgreSQL's hashfn.c: the word, the word before it, and the rotation."""
FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def rotated(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & WORD


def mixed(state: list[int]) -> list[int]:
    for word, other, bits in MIX:
        third = 3 - word - other
        state[word] = ((state[word] - state[other]) & WORD) ^ rotated(state[other], bits)
        state[other] = (state[other] + state[third]) & WORD
    return state


def before_mix(state: list[int]) -> list[int]:
    for word, other, bits in reversed(MIX):
        third = 3 - word - other
        state[other] = (state[other] - state[third]) & WORD
        state[word] = ((state[word] ^ rotated(state[other], bits)) + state[other]) & WORD
    return state


def before_final(state: list[int]) -> list[int]:
    for word, other, bits in reversed(FINAL):
        state[word] = ((state[word] + rotated(state[other], bits)) & WORD) ^ state[other]
    return state


def forged(prefix: str, number: int, seed: int) -> str:
    """Return a text with this prefix for which `hashtextextended(text, seed)` is the number."""
    start = prefix + "x" * (-len(prefix) % BLOCK)
    begin = (0x9E3779B9 + len(start) + BLOCK + 3923095) & WORD
    state = mixed([begin, (begin + seed) & WORD, begin]) if seed else [begin] * 3
    for at in range(0, len(start), BLOCK):
        words = struct.unpack_from("<3I", start.encode(), at)
        state = mixed([(each + word) & WORD for each, word in zip(state, words, strict=True)])
    choose = random.Random(number)  # noqa: S311 - a test that is the same each time
    while True:
        wanted = [choose.getrandbits(32), number >> 32 & WORD, number & WORD]
        ends = before_mix(before_final(wanted))
        block = struct.pack("<3I", *((e - s) & WORD for e, s in zip(ends, state, strict=True)))
        if all(0x21 <= byte <= 0x7E for byte in block):
            return start + block.decode()


async def test_the_forgery_is_right(acme: Organization) -> None:
    """PostgreSQL's hash of the forged text is the wanted number."""
    wanted = -1234567890123456789
    async with acme.deployment.service.reads() as session:
        hashed = func.hashtextextended(forged("user:usr_eve ", wanted, 20240), 20240)
        assert await session.scalar(select(hashed)) == wanted


@pytest.mark.parametrize(
    ("lock", "path"),
    [("teamaccess/mails/ana@{id}.example", "invitations"), ("teamaccess refusals {id}", "")],
)
async def test_an_idempotency_key_is_not_the_lock_of_another_tenant(
    acme: Organization,
    globex: Organization,
    monkeypatch: pytest.MonkeyPatch,
    lock: str,
    path: str,
) -> None:
    """Before the fix, locks were hashes of text, and eve chose a key with the hash of acme's lock."""
    eve, deployment = globex.administrator, globex.deployment
    bob = (await acme.add_members({"bob": []}))["bob"]
    async with deployment.service.reads() as session:
        of_acme = func.hashtextextended(lock.format(id=acme.id), 0)
        number = await session.scalar(select(of_acme))
    assert number is not None
    actor = f"user:{eve.id} "
    key = forged(actor, number, 20240).removeprefix(actor)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        reached.set()
        await go_on.wait()

    deployment.service.admission._admitted[globex.id, eve.id] = True
    before_first_call(monkeypatch, deployment, "answers", slow)
    body = {"email": globex.address("zoe"), "roles": ["support"]}
    held = asyncio.create_task(
        eve.ask("POST", f"{globex.path}/invitations", json=body, headers={"Idempotency-Key": key})
    )
    await reached.wait()
    try:
        async with asyncio.timeout(1.5):
            if path:
                body = {"email": acme.address("zoe"), "roles": ["support"]}
                invited = await acme.administrator.ask("POST", f"{acme.path}/{path}", json=body)
                assert invited.status_code == 201, invited.text
            else:
                refused(await bob.ask("GET", f"{acme.path}/invitations"), 403, "missing_permission")
                assert (await acme.events())[-1].kind == "refused"
    finally:
        go_on.set()
    assert (await held).status_code == 201


def test_locks_about_different_things_have_different_numbers() -> None:
    """Neither the purpose nor the border between two texts can be imitated."""
    locks = AdvisoryLocks(b"secret")
    texts = [("a b", "c"), ("a", "b c"), ("a b c",), ("a b c", ""), ("3:a b", "c")]
    numbers = {locks.number(purpose, *about) for purpose in Purpose for about in texts}
    assert len(numbers) == len(Purpose) * len(texts)
    assert numbers.isdisjoint(
        AdvisoryLocks(b"other").number(purpose, *about) for purpose in Purpose for about in texts
    )


async def test_every_lock_of_a_request_has_a_number_of_the_deployments_key(
    acme: Organization,
) -> None:
    """PostgreSQL has the locks that the module calculates, each with one number instead of two."""
    locks = acme.deployment.service.locks
    expected = {locks.number(Purpose.MAILS, "somebody"), locks.number(Purpose.FOUNDING, "somebody")}
    async with acme.deployment.service.sessions() as session:
        for purpose in (Purpose.MAILS, Purpose.FOUNDING):
            assert await session.scalar(locks.try_lock(purpose, "somebody"))
        held = await session.execute(
            text("""
            SELECT (classid::bigint << 32) | objid::bigint, objsubid FROM pg_locks
            WHERE locktype = 'advisory' AND pid = pg_backend_pid()
            """)
        )
        assert {(number, kind) for number, kind in held} == {(each, 1) for each in expected}


def test_one_module_takes_all_advisory_locks() -> None:
    """A lock elsewhere could have a number that a caller chooses."""
    root = Path(teamaccess.__file__).parent
    files = [file for suffix in ("py", "sql") for file in root.rglob(f"*.{suffix}")]
    taking = {
        file.name
        for file in files
        if any(word in file.read_text() for word in ("advisory_xact", "advisory_lock(", "hashtext"))
    }
    assert taking == {"advisory_locks.py"}
