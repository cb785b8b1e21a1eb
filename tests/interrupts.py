"""Signals to this process, as a terminal or a supervisor sends them to a run in it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupted(when: Callable[[], bool], *signals: signal.Signals) -> Iterator[None]:
    """Send these signals, one after the other, once something has come about."""
    # one that comes when the run is over interrupts no other test
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    sender = threading.Thread(target=_send, args=(when, signals), daemon=True)
    sender.start()
    yield
    sender.join()
    for number, action in before.items():
        signal.signal(number, action)


def _send(when: Callable[[], bool], signals: tuple[signal.Signals, ...]) -> None:
    until = time.monotonic() + 20
    while not when():
        if time.monotonic() > until:
            return
        time.sleep(0.02)
    for number in signals:
        os.kill(os.getpid(), number)
        time.sleep(0.3)  # two signals at once are one signal
