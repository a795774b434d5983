"""Many clients at work in several organizations while faults are injected."""

import asyncio
import time
from collections import Counter
from random import Random

from tests.faults import operations
from tests.faults.clients import Clients, KnownOrganization, KnownPerson, RequestOptions
from tests.faults.fault_injection import FaultInjector
from tests.faults.operation_log import Operation

WORKERS = 12
ORGANIZATIONS = 6
OPERATIONS_PER_FAULT = 48
WEIGHTS = {
    "invite": 18,
    "accept": 16,
    "roles": 20,
    "suspend": 10,
    "reactivate": 10,
    "remove": 8,
    "leave": 2,
    "resend": 2,
    "cancel": 3,
    "rename": 2,
    "administrator": 2,
}


class Storm:
    """A number of operations by concurrent workers, with a fault every OPERATIONS_PER_FAULT at least."""

    def __init__(self, clients: Clients, faults: FaultInjector, seed: int, operations: int) -> None:
        self.faults = faults
        self._clients = clients
        self._seed, self._operations = seed, operations
        self._begun = 0
        self._seconds = 0.0

    async def run(self) -> None:
        """Let the clients work until all operations are done, then stop the faults."""
        began = time.monotonic()
        faults = asyncio.create_task(self.faults.run())
        workers = asyncio.create_task(self._run_workers())
        try:
            await asyncio.wait({faults, workers}, return_when=asyncio.FIRST_COMPLETED)
            if faults.done():
                faults.result()
            await workers
        finally:
            workers.cancel()
            self.faults.stop()
            await asyncio.wait({faults})
        faults.result()
        self._seconds = time.monotonic() - began

    async def _run_workers(self) -> None:
        await asyncio.gather(*(self._work(number) for number in range(WORKERS)))

    def figures(self, found: list[str]) -> str:
        """The counts of operations, faults and findings."""
        record = self._clients.log
        answers = Counter(_outcome(operation) for operation in record.operations)
        codes = Counter(
            f"{a.status} {a.code}" for d in record.operations for a in d.answers if a.code
        )
        lost = [each for each in found if each.startswith("lost")]
        return "\n".join(
            [
                f"operations            {len(record.operations)}",
                f"requests              {sum(len(operation.answers) for operation in record.operations)}",
                f"acknowledged changes  {len(record.acknowledged)}",
                *(f"  {verb:<19} {count}" for verb, count in sorted(self._verbs().items())),
                *(f"{outcome:<21} {count}" for outcome, count in sorted(answers.items())),
                *(f"  {code:<29} {n}" for code, n in sorted(codes.items())),
                f"faults                {self.faults.faults.total()}",
                *(f"  {name:<29} {n}" for name, n in sorted(self.faults.faults.items())),
                f"lost                  {len(lost)}",
                f"divergences           {len(found) - len(lost)}",
                f"seconds               {self._seconds:.0f}",
            ]
        )

    def _verbs(self) -> Counter[str]:
        return Counter(operation.verb for operation in self._clients.log.acknowledged)

    async def _work(self, number: int) -> None:
        chance = Random(f"{self._seed} {number}")  # noqa: S311 - no secret depends on it
        while len(self._clients.log.operations) < self._operations:
            # the workers wait for faults, so that a storm of any length has enough of them
            if self._begun > OPERATIONS_PER_FAULT * (self.faults.faults.total() + 1):
                await asyncio.sleep(0.1)
                continue
            self._begun += 1
            await self._take_random_step(chance)

    async def _take_random_step(self, chance: Random) -> None:
        clients = self._clients
        organization = chance.choice(clients.organizations)
        options = RequestOptions(
            chance.choice(organization.administrators), retry=chance.random() < 0.8
        )
        roles = chance.sample(clients.roles, chance.choice([1, 1, 2]))
        match chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]:
            case "invite":
                clients.read_mails()
                guest = (
                    clients.new_person() if chance.random() < 0.8 else _member(chance, organization)
                )
                await operations.invite(clients, organization, options, guest, roles)
            case "accept":
                await self._accept(chance, organization, options)
            case "roles":
                await operations.change_roles(
                    clients, organization, options, _member(chance, organization), roles
                )
            case "suspend":
                await operations.suspend(
                    clients, organization, options, _member(chance, organization)
                )
            case "reactivate":
                await operations.reactivate(
                    clients, organization, options, _member(chance, organization)
                )
            case "remove":
                await operations.remove(
                    clients, organization, options, _member(chance, organization)
                )
            case "leave":
                target = _member(chance, organization)
                await operations.leave(
                    clients, organization, RequestOptions(target, options.retry), target
                )
            case "resend" | "cancel" as verb:
                if organization.invitations:
                    id, _ = chance.choice(organization.invitations[-20:])
                    await getattr(operations, verb)(clients, organization, options, id)
            case "rename":
                await operations.rename(
                    clients, organization, options, f"Organization {chance.randrange(1000)}"
                )
            case "administrator":
                one, another = chance.sample(organization.administrators, 2)
                await operations.suspend(
                    clients, organization, RequestOptions(one, retry=True), another
                )
                await operations.reactivate(
                    clients, organization, RequestOptions(one, retry=True), another
                )

    async def _accept(
        self, chance: Random, organization: KnownOrganization, options: RequestOptions
    ) -> None:
        self._clients.read_mails()
        for _, guest in reversed(organization.invitations[-10:]):
            if (
                guest.address in self._clients.invitation_tokens
                and guest not in organization.people
            ):
                who = guest if guest.id is not None else None
                await operations.accept(
                    self._clients, organization, guest, RequestOptions(who, options.retry)
                )
                return


def _member(chance: Random, organization: KnownOrganization) -> KnownPerson:
    """One of the newest twelve."""
    return chance.choice(organization.people[-12:])


def _outcome(operation: Operation) -> str:
    if operation.acknowledged:
        return f"answered {operation.last.status}"
    if operation.unknown:
        return "never known"
    return f"answered {operation.last.status}"
