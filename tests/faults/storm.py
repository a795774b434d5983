"""Many people at work in several organizations, while the weather does what it likes."""

import asyncio
import time
from collections import Counter
from random import Random

from tests.faults import deeds
from tests.faults.crowd import Crowd, House, Manner, Someone
from tests.faults.record import Deed
from tests.faults.weather import Weather

WORKERS = 12
HOUSES = 6
DEEDS_A_FAULT = 48


CHANCES = {
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
    "ruler": 2,
}


class Storm:
    """A number of operations by concurrent workers, and at least one fault for so many of them."""

    def __init__(self, crowd: Crowd, weather: Weather, seed: int, operations: int) -> None:
        self.weather = weather
        self._crowd = crowd
        self._seed, self._operations = seed, operations
        self._begun = 0
        self._seconds = 0.0

    async def pass_over(self) -> None:
        """Let everybody work until all operations are done, then let the weather calm down."""
        began = time.monotonic()
        raging = asyncio.create_task(self.weather.rage())
        working = asyncio.create_task(self._everybody())
        try:
            await asyncio.wait({raging, working}, return_when=asyncio.FIRST_COMPLETED)
            if raging.done():
                raging.result()
            await working
        finally:
            working.cancel()
            self.weather.calm_down()
            await asyncio.wait({raging})
        raging.result()
        self._seconds = time.monotonic() - began

    async def _everybody(self) -> None:
        await asyncio.gather(*(self._work(number) for number in range(WORKERS)))

    def figures(self, found: list[str]) -> str:
        """What happened, in numbers."""
        record = self._crowd.record
        answers = Counter(_sense(deed) for deed in record.deeds)
        codes = Counter(f"{a.status} {a.code}" for d in record.deeds for a in d.answers if a.code)
        lost = [each for each in found if each.startswith("lost")]
        return "\n".join(
            [
                f"operations            {len(record.deeds)}",
                f"requests              {sum(len(deed.answers) for deed in record.deeds)}",
                f"acknowledged changes  {len(record.acknowledged)}",
                *(f"  {verb:<19} {count}" for verb, count in sorted(self._verbs().items())),
                *(f"{sense:<21} {count}" for sense, count in sorted(answers.items())),
                *(f"  {code:<29} {n}" for code, n in sorted(codes.items())),
                f"faults                {self.weather.faults.total()}",
                *(f"  {name:<29} {n}" for name, n in sorted(self.weather.faults.items())),
                f"lost                  {len(lost)}",
                f"divergences           {len(found) - len(lost)}",
                f"seconds               {self._seconds:.0f}",
            ]
        )

    def _verbs(self) -> Counter[str]:
        return Counter(deed.verb for deed in self._crowd.record.acknowledged)

    async def _work(self, number: int) -> None:
        chance = Random(f"{self._seed} {number}")  # noqa: S311 - nothing secret hangs on it
        while len(self._crowd.record.deeds) < self._operations:
            # people wait for the weather, so that a storm of any length has its faults
            if self._begun > DEEDS_A_FAULT * (self.weather.faults.total() + 1):
                await asyncio.sleep(0.1)
                continue
            self._begun += 1
            await self._something(chance)

    async def _something(self, chance: Random) -> None:
        crowd = self._crowd
        house = chance.choice(crowd.houses)
        manner = Manner(chance.choice(house.administrators), stubborn=chance.random() < 0.8)
        roles = chance.sample(crowd.roles, chance.choice([1, 1, 2]))
        match chance.choices(list(CHANCES), list(CHANCES.values()))[0]:
            case "invite":
                crowd.open_mails()
                guest = crowd.somebody_new() if chance.random() < 0.8 else _member(chance, house)
                await deeds.invite(crowd, house, manner, guest, roles)
            case "accept":
                await self._accept(chance, house, manner)
            case "roles":
                await deeds.change_roles(crowd, house, manner, _member(chance, house), roles)
            case "suspend":
                await deeds.suspend(crowd, house, manner, _member(chance, house))
            case "reactivate":
                await deeds.reactivate(crowd, house, manner, _member(chance, house))
            case "remove":
                await deeds.remove(crowd, house, manner, _member(chance, house))
            case "leave":
                whom = _member(chance, house)
                await deeds.leave(crowd, house, Manner(whom, manner.stubborn), whom)
            case "resend" | "cancel" as verb:
                if house.invitations:
                    id, _ = chance.choice(house.invitations[-20:])
                    await getattr(deeds, verb)(crowd, house, manner, id)
            case "rename":
                await deeds.rename(crowd, house, manner, f"House {chance.randrange(1000)}")
            case "ruler":
                one, another = chance.sample(house.administrators, 2)
                await deeds.suspend(crowd, house, Manner(one, stubborn=True), another)
                await deeds.reactivate(crowd, house, Manner(one, stubborn=True), another)

    async def _accept(self, chance: Random, house: House, manner: Manner) -> None:
        self._crowd.open_mails()
        for _, guest in reversed(house.invitations[-10:]):
            if guest.address in self._crowd.letters and guest not in house.people:
                who = guest if guest.id is not None else None
                await deeds.accept(self._crowd, house, guest, Manner(who, manner.stubborn))
                return


def _member(chance: Random, house: House) -> Someone:
    """Mostly one of the newer ones."""
    return chance.choice(house.people[-12:])


def _sense(deed: Deed) -> str:
    if deed.acknowledged:
        return f"answered {deed.last.status}"
    if deed.unknown:
        return "never known"
    return f"answered {deed.last.status}"
