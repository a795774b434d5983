"""Choices that depend on a seed and on names, and not on the number of candidates."""

import hashlib
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class SeededChoices:
    """One step's choices.

    A choice hashes the label of each candidate and takes the smallest. When shrinking leaves other steps
    out, and so their roles and teams, this step still makes the same choice among what remains.
    """

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311 - no secret depends on it

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def number(self, least: int, most: int) -> int:
        """A number, including both bounds."""
        return self._random.randint(least, most)

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""
        return self._ranked(items)[0]

    def at(self, items: Sequence[T]) -> T:
        """One of them by its index, for generated names, which differ in each run."""
        return items[self._random.randrange(len(items))]

    def some(self, items: Sequence[T], most: int) -> list[T]:
        """At least one of them where there are any, and at most so many, each once."""
        count = self.number(1, most)
        return self._ranked(items)[:count] if items else []

    def weighted(self, weights: dict[T, int]) -> T:
        """One of the keys, by weight."""
        return self._random.choices(list(weights), list(weights.values()))[0]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All of them in some order."""
        return self._random.sample(list(items), len(items))

    def _ranked(self, items: Sequence[T]) -> list[T]:
        salt = self._random.getrandbits(64)

        def rank(item: T) -> bytes:
            label = getattr(item, "label", item)
            return hashlib.blake2b(f"{salt} {label}".encode(), digest_size=8).digest()

        return sorted(items, key=rank)
