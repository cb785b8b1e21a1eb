"""Positions of rows, shuffled or at random: seeded, without a list of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import isqrt
from random import Random
from typing import Final

PAIRS: Final = 4
"""Of rounds. Two do for many rows, where the theory holds; four rows come in each of their 24 orders equally often
with four (0.8 us a position)."""


def shuffled(n: int, *, seed: int, lap: int) -> Iterator[int]:
    """Each of `range(n)` once, in an order that depends on the seed and the lap.

    >>> sorted(shuffled(5, seed=1, lap=0))
    [0, 1, 2, 3, 4]

    A Feistel network: a position is a pair of digits, and each round adds to one digit, modulo its base, a random
    number that belongs to the other. That can be undone, so no two positions meet; four rounds leave nothing of the
    order there was where the digits are long (Luby and Rackoff, 1988). The bases are the root of n rounded up, so few
    pairs lie beyond n, and one that does goes round again. The random numbers are all the memory it takes: 100 kB for
    10 million.
    """
    low = isqrt(max(n - 1, 0)) + 1
    high = -(-n // low)
    draw = _random(f"shuffled {seed} {lap}").randbytes
    rounds = [(array("I", draw(4 * low)), array("I", draw(4 * high))) for _ in range(PAIRS)]
    for position in range(n):
        left, right = divmod(position, low)
        while True:
            for for_right, for_left in rounds:
                left = (left + for_right[right]) % high
                right = (right + for_left[left]) % low
            if left * low + right < n:
                break
        yield left * low + right


def at_random(n: int, *, seed: int) -> Iterator[int]:
    """Any of `range(n)` each time, for ever."""
    draw = _random(f"random {seed}").randrange
    while True:
        yield draw(n)


def _random(seed: str) -> Random:
    # text is hashed with SHA-512, so that near seeds have nothing in common, and it is the same everywhere
    return Random(seed)
