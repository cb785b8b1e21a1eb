"""What a fetch gives back: replies as they complete, figures when it is over."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from loadkit.fetcher.job import FetchJob
    from loadkit.fetcher.manifest import FetchReply
    from loadkit.judge.result import Result


class FetchResult:
    """A fetch under way, and what came of it.

    >>> for reply in fetch(urls, threads=20, into="bodies"):
    ...     print(reply.url, reply.status, reply.file, reply.error)

    It works in the background from the start. Iterating gives the replies of this run as they complete, as often as one
    likes; they are read from the manifest, so none is kept in memory. A loop that is left before its end, by `break`,
    an exception or Ctrl-C, stops the fetch; so does an exception that ends the program, which otherwise waits for it as
    for any thread. Whatever else is asked of it waits for the end. As a context manager it is waited for, and stopped
    when the block raises.
    """

    def __init__(self, fetching: FetchJob) -> None:
        self.fetching = fetching
        """What does the work; for the command line."""
        # a daemon, for the interpreter would wait for it before it asks whether it is to stop; `running` does both
        self._thread = threading.Thread(target=_run, args=(fetching,), name="loadkit-fetch", daemon=True)
        started(fetching)
        try:
            self._thread.start()
        except BaseException:
            ended(fetching)
            raise

    def __repr__(self) -> str:
        state = "under way" if self._thread.is_alive() else f"{self.files:,} files, {self.failed:,} failed"
        return f"<FetchResult into {self.into}: {state}>"

    def __iter__(self) -> Iterator[FetchReply]:
        return self.fetching.replies()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.stop()
        self._join()

    def wait(self) -> Self:
        """Wait for the end; raises what ended it before: `UsageError`, `OutputError`, what the source raised."""
        self._join()
        self.fetching.complain()
        return self

    def stop(self) -> None:
        """Ask for nothing more; what is under way may finish."""
        self.fetching.stop()

    def _join(self) -> None:
        try:
            self.fetching.wait()
        except KeyboardInterrupt:
            self.fetching.stop()
            wait_to_the_end(self.fetching)
            raise
        self._thread.join()

    def _ended(self) -> FetchJob:
        self._join()
        return self.fetching

    @property
    def into(self) -> Path:
        """The folder."""
        return self.fetching.plan.into

    @property
    def manifest(self) -> Path:
        """The account of every URL, a JSON line each."""
        return self.fetching.manifest_path

    @property
    def result(self) -> Result:
        """The figures as of a load run, to be reported, stored and compared like one."""
        self.wait()
        return self.fetching.result()

    @property
    def files(self) -> int:
        """Bodies that were saved."""
        return self._ended().counters.files

    @property
    def bytes(self) -> int:
        """Bytes that were saved."""
        return self._ended().counters.bytes

    @property
    def failed(self) -> int:
        """URLs that failed for good, and lines that were none."""
        return self._ended().failed

    @property
    def complete(self) -> int:
        """URLs whose files were there already."""
        return self._ended().stats.complete

    @property
    def duplicates(self) -> int:
        """URLs that came before in the list, and were not fetched again."""
        return self._ended().stats.duplicates

    @property
    def refused(self) -> int:
        """Lines that were no URLs."""
        return self._ended().stats.refused

    @property
    def retries(self) -> dict[str, int]:
        """How often something was asked for again, by reason."""
        return dict(self._ended().counters.retries)

    @property
    def threads(self) -> int:
        """Threads at the end; with `auto`, how many it settled on."""
        return self._ended().threads

    @property
    def passed(self) -> bool:
        """Whether every URL of the list is fetched."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0 all is there, 1 something failed for good, 2 interrupted, 3 the disk took no more, 5 the list was empty."""
        return self._ended().exit_code


def _run(fetching: FetchJob) -> None:
    try:
        fetching.run()
    finally:
        ended(fetching)


_running: set[FetchJob] = set()


def started(fetching: FetchJob) -> None:
    """Have the program not end before it does."""
    if not _running:
        atexit.unregister(_end_all)
        atexit.register(_end_all)
    _running.add(fetching)


def ended(fetching: FetchJob) -> None:
    """It has come to its end."""
    _running.discard(fetching)


def wait_for_stopped(folder: Path) -> None:
    """Wait for fetches into this folder that were stopped and still hold it."""
    for fetching in list(_running):
        if fetching.is_stopping and _is_same(fetching.plan.into, folder):
            wait_to_the_end(fetching)


def wait_to_the_end(fetching: FetchJob) -> None:
    """Wait for a fetch that was stopped; a Ctrl-C meanwhile cuts what is under way."""
    try:
        fetching.wait()
    except KeyboardInterrupt:
        fetching.cut()
        fetching.wait()


def _end_all() -> None:
    """As the program ends: finish what nobody left, unless an exception ended the program."""
    has_failed = hasattr(sys, "last_value")
    for fetching in (unfinished := list(_running)):
        if has_failed:
            fetching.stop()
    for fetching in unfinished:
        _wait_or_stop(fetching)


def _wait_or_stop(fetching: FetchJob) -> None:
    """Wait for a fetch; a first Ctrl-C meanwhile stops it, a second one cuts what is under way."""
    try:
        fetching.wait()
    except KeyboardInterrupt:
        fetching.stop()
        wait_to_the_end(fetching)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
