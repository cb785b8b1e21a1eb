"""Positions of rows in an order that the seed decides, shuffled or at random."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from random import Random


def shuffled(n: int, *, seed: int) -> Iterator[int]:
    """Each of `range(n)` once, then each once again in another order, for ever.

    >>> from itertools import islice
    >>> sorted(islice(shuffled(5, seed=1), 5))
    [0, 1, 2, 3, 4]

    A position is drawn when it is asked for (Fisher and Yates): a lap begins without a pause in which the threads of a
    run would wait for all of it to be shuffled. 4 bytes a position.
    """
    positions = array("I", range(n))
    draw = _random(f"shuffled {seed}").random
    while n:
        for k in range(n):
            # as good as randrange for fewer than 2**32 positions, in a third of its time
            other = k + int(draw() * (n - k))
            positions[k], positions[other] = positions[other], positions[k]
            yield positions[k]


def at_random(n: int, *, seed: int) -> Iterator[int]:
    """Any of `range(n)` each time, for ever."""
    draw = _random(f"random {seed}").randrange
    while True:
        yield draw(n)


def _random(seed: str) -> Random:
    # text is hashed with SHA-512, so that near seeds have nothing in common, and it is the same everywhere
    return Random(seed)
