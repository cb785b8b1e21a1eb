"""Keeps time of one request that another client than loadkit's sends."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from loadkit.drive.journeys.observer import JourneyObserver
from loadkit.measure.timer import KEEPER
from loadkit.plan.urls import strip_url
from loadkit.wire.base import Failure, Note
from loadkit.wire.session.call import NOTHING_SEEN, Asked

Wrap: TypeAlias = Callable[[Any], type]
"""Makes the subclass of what sends that keeps time."""


class Watch:
    """Keeps time of one request, by our own clock, if a thread of the load sends it; raises what ends a test.

    What a `with` block raises is how it ended.
    """

    def __init__(self, method: str, url: str) -> None:
        keeper = KEEPER.get()
        self._keeper = keeper if isinstance(keeper, JourneyObserver) else None
        self._asked = Asked(method, strip_url(url), None)
        self._sent = self._keeper.begin() if self._keeper else 0
        WATCH.set(self)

    @property
    def is_over(self) -> bool:
        """True if it has ended, or nobody keeps its time."""
        return self._keeper is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error)

    def end(self, status: int, size: int = 0, failure: Failure | None = None) -> None:
        """It is over; once."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            now = keeper.now()
            note = Note(failure) if failure else None
            keeper.session.count_unstamped(1)
            keeper.observe(self._asked, (status, self._sent, now, now, size, note), 0, NOTHING_SEEN)

    def fail(self, error: BaseException) -> None:
        """It ended without a reply."""
        name = type(error).__name__
        kind = "timeout" if "Timeout" in name else "connect" if "Connect" in name else "disconnect"
        self.end(0, 0, Failure(kind, f"{name}: {error}"))


WATCH: Final[ContextVar[Watch | None]] = ContextVar("loadkit_watch", default=None)
"""Of the last request of this thread or task."""
