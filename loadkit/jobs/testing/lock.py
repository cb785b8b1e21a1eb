"""One load test at a time: a lock that processes of one pytest session share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def hold_lock(lock: Path | None) -> Iterator[None]:
    """Wait until no other process holds the lock, and hold it; without one there is nobody to wait for.

    The kernel lets go of it when its holder dies, however that happens.
    """
    if lock is None:
        yield
        return
    import fcntl

    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
