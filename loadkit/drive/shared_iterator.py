"""One stream that many threads take from, each item once and in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

CHUNK: Final = 64
"""Items made at once: 30 us of work for arrivals, in which whoever has just become due would wait."""


class SharedIterator(Generic[Item]):
    """Hands out what an iterator makes. Taking is atomic; only making more is locked, once for `chunk` items."""

    def __init__(self, source: Iterator[Item], chunk: int = CHUNK) -> None:
        self._source = source
        self._chunk = chunk
        self._ready: deque[Item] = deque()
        self._lock = threading.Lock()
        self._is_spent = False

    @property
    def ready(self) -> int:
        """Items that are made and not taken."""
        return len(self._ready)

    def take(self) -> Item | None:
        """The next item; None when there is no more."""
        try:
            return self._ready.popleft()
        except IndexError:
            return self._make()

    def put_back(self, item: Item) -> None:
        """Have an item that was taken come next."""
        self._ready.appendleft(item)

    def _make(self) -> Item | None:
        with self._lock:
            # others go on taking meanwhile, and may have taken all that was just made
            while True:
                if not self._ready:
                    if self._is_spent:
                        return None
                    made = list(islice(self._source, self._chunk))
                    # not whether there are any left, for others have taken of them by the time of the next line
                    self._is_spent = not made
                    self._ready.extend(made)
                try:
                    return self._ready.popleft()
                except IndexError:
                    continue

    def close(self, patience: float) -> bool:
        """Have no more; False if somebody has been making items for so many seconds, and goes on."""
        if not self._lock.acquire(timeout=patience):
            return False
        self._ready.clear()
        self._is_spent = True
        self._lock.release()
        return True
