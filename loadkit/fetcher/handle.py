"""What `fetch` returns: the handle of a fetch in progress, its replies as they complete, and what came of it."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

if TYPE_CHECKING:
    from loadkit.fetcher.figures import FetchSummary
    from loadkit.fetcher.job import FetchJob
    from loadkit.fetcher.manifest import ManifestLine
    from loadkit.fetcher.options import FetchOptions
    from loadkit.judge.limit.limit import Limit
    from loadkit.judge.result import Result


@dataclass(frozen=True, slots=True)
class FetchReply:
    """A URL that is done: `error` is None and `file` is where its body is, or `error` says why it failed.

    `file` is a path, None if there is no body; `seconds` is the response time. Secrets in `url` are masked.
    """

    url: str
    status: int | None
    file: Path | None
    bytes: int | None
    seconds: float
    error: str | None
    attempts: int = 0
    position: int = 0
    sha256: str | None = None
    final_url: str | None = None

    @property
    def ok(self) -> bool:
        """True if it was fetched."""
        return self.error is None


def reply_of(line: ManifestLine, options: FetchOptions) -> FetchReply:
    """The reply that a line of the manifest is about."""
    root = options.append.parent if line.offset is not None and options.append else options.into
    return FetchReply(
        url=line.url,
        status=line.status,
        file=None if line.file is None else Path(root, line.file),
        bytes=line.bytes,
        seconds=line.seconds,
        error=line.error,
        attempts=line.attempts,
        position=line.position,
        sha256=line.sha256,
        final_url=line.final_url,
    )


class FetchResult:
    """A fetch in progress, and what came of it.

    >>> for reply in fetch(urls, threads=20, into="bodies"):
    ...     print(reply.url, reply.status, reply.file, reply.error)

    It works in the background from the start. Iterating gives the replies of this run as they complete, as often as one
    likes; they are read from the manifest, so none is kept in memory. A loop that is left before its end, by `break`,
    an exception or Ctrl-C, stops the fetch; so does an exception that ends the program, which otherwise waits for it as
    for any thread. Whatever else is asked of it waits for the end. As a context manager it is waited for, and stopped
    when the block raises.
    """

    def __init__(self, job: FetchJob) -> None:
        self.job = job
        """What does the work; for the command line."""
        # a daemon: the interpreter waits for other threads before it calls `_end_all`, which stops this one or waits
        self._thread = threading.Thread(target=job.run, name="loadkit-fetch", daemon=True)
        self._thread.start()
        _jobs.add(job)
        atexit.unregister(_end_all)
        atexit.register(_end_all)

    def __repr__(self) -> str:
        state = "under way" if self._thread.is_alive() else f"{self.files:,} files, {self.failed:,} failed"
        return f"<FetchResult into {self.into}: {state}>"

    def __iter__(self) -> Iterator[FetchReply]:
        try:
            for line in self.job.store.manifest.follow():
                yield reply_of(line, self.job.options)
        except BaseException:
            self.stop()
            raise
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()
        self._join()

    def wait(self) -> Self:
        """Wait for the end; raises what ended it before: `UsageError`, `OutputError`, what the source raised."""
        self._summary().raise_error()
        return self

    def stop(self) -> None:
        """Begin nothing more; exchanges in progress may finish."""
        self.job.stop()

    def _join(self) -> None:
        _finish(self.job)
        self._thread.join()

    def _summary(self) -> FetchSummary:
        self._join()
        return self.job.summary()

    @property
    def into(self) -> Path:
        """The folder."""
        return self.job.options.into

    @property
    def manifest(self) -> Path:
        """The account of every URL, a JSON line each."""
        return self.job.store.manifest.path

    @property
    def result(self) -> Result:
        """The figures as of a load run, to be reported, stored and compared like one."""
        self.wait()
        return self.job.result()

    @property
    def files(self) -> int:
        """Bodies that were saved."""
        return self._summary().counters.files

    @property
    def bytes(self) -> int:
        """Bytes that were saved."""
        return self._summary().counters.bytes

    @property
    def failed(self) -> int:
        """URLs that failed for good, and lines without one."""
        return self._summary().failed

    @property
    def complete(self) -> int:
        """URLs whose files were there already."""
        return self._summary().input.complete

    @property
    def duplicates(self) -> int:
        """URLs that came before in the list, and were not fetched again."""
        return self._summary().input.duplicates

    @property
    def refused(self) -> int:
        """Lines that were no URLs."""
        return self._summary().input.refused

    @property
    def retries(self) -> dict[str, int]:
        """How often something was asked for again, by reason."""
        return self._summary().counters.retries

    @property
    def threads(self) -> int:
        """Threads at the end; with `auto`, how many were found to be enough."""
        return self._summary().threads

    @property
    def limit(self) -> Limit | None:
        """With `auto`, how many threads are enough and what each number got, as `limit(by="threads")` returns it."""
        return self._summary().limit

    @property
    def passed(self) -> bool:
        """True if every URL of the list is fetched."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0 all is there, 1 something failed for good, 2 interrupted, 3 the disk took no more, 5 the list was empty."""
        return self._summary().exit_code


_jobs: WeakSet[FetchJob] = WeakSet()
"""The fetches of this process, which does not end before they do."""


def wait_for_stopped(folder: Path) -> None:
    """Wait for fetches into this folder that were stopped and still hold it."""
    for job in list(_jobs):
        if job.is_stopping and job.options.into.resolve() == folder.resolve():
            _finish(job)


def _end_all() -> None:
    """As the program ends: finish the fetches in progress, or stop them if an exception ends the program."""
    jobs = list(_jobs)
    if hasattr(sys, "last_value"):
        for job in jobs:
            job.stop()
    for job in jobs:
        with suppress(KeyboardInterrupt):
            _finish(job)


def _finish(job: FetchJob) -> None:
    """Wait for a fetch. A first Ctrl-C meanwhile stops it, a second one ends its exchanges; then it is raised."""
    try:
        job.wait()
    except KeyboardInterrupt:
        job.stop()
        try:
            job.wait()
        except KeyboardInterrupt:
            job.cut()
            job.wait()
        raise
