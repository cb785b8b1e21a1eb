"""A page that shows a run while it is under way, in a browser on this machine.

Another process serves it (`server`), at a lower priority, from the results so far that the run writes into a file: so
the threads that send wait for no browser.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from loadkit.plan.errors import OutputError, UsageError

if TYPE_CHECKING:
    from loadkit.judge.result import Result

PORT: Final = 8089
"""Where the page is if nobody says another port and it is free."""

FOUND: Final = "found.json"
"""The file of what was found in the end, which takes the place of all results so far."""

PATIENCE: Final = 10.0
"""Seconds in which the other process comes up, or ends once it was told to."""


class LivePage:
    """A page of a run under way; it belongs to the thread that runs it."""

    def __init__(self, process: subprocess.Popen[str], url: str, folder: Path) -> None:
        self.url = url
        """With the token without which nobody sees it."""
        self._folder = folder
        self._stops = 0
        self._process = process
        threading.Thread(target=self._listen, name="loadkit-live", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout
        for _ in self._process.stdout:
            self._stops += 1

    def snapshot(self, number: int = 0) -> Path:
        """Where the results so far are written; each of the runs that go on at the same time has a number."""
        return self._folder / f"{number:06}.json"

    def with_stops(self, interrupts: Callable[[], int]) -> Callable[[], int]:
        """The same, which also counts how often somebody has pressed the button of the page."""
        return lambda: interrupts() + self._stops

    def finish(self, results: Sequence[Result], errors: Mapping[str, str] | None = None) -> None:
        """Show the results to whoever looks at the page, and end it; `errors` say what was not run and why, by name."""
        from loadkit.report.files import write_bytes
        from loadkit.report.json import encoded

        assert self._process.stdin
        # a disk that is full costs the page its last figures, and the run nothing
        with suppress(OutputError, OSError):
            if results:
                write_bytes(self._folder / FOUND, encoded(results))
            self._process.stdin.write(json.dumps({"errors": dict(errors or {})}))
            self._process.stdin.flush()


@contextmanager
def live_page(port: int | None = None) -> Iterator[LivePage]:
    """Serve a page until the block is left, at this port; at `PORT` or a free one if None.

    Raises `UsageError` where the port is taken, or the process does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="loadkit-live-") as folder:
        token = secrets.token_urlsafe(18)
        command = [sys.executable, "-m", "loadkit.jobs.live.server"]
        # a session of its own: a Ctrl-C is for us, and the page shows what comes of it
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stdin
            assert process.stdout
            try:
                # the token is no argument, for anybody may read those
                process.stdin.write(json.dumps({"token": token, "port": port, "folder": folder}) + "\n")
                process.stdin.flush()
                yield LivePage(process, f"http://127.0.0.1:{_port(process.stdout)}/{token}/", Path(folder))
            finally:
                # its end tells the process that all is over; so does ours, however we end
                with suppress(OSError):
                    process.stdin.close()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()


def _port(said: IO[str]) -> int:
    line = said.readline()
    try:
        answer = json.loads(line)
    except ValueError:
        raise UsageError(f"the live page does not come up: {line.strip() or 'its process has ended'}") from None
    if "error" in answer:
        raise UsageError(f"the live page does not come up: {answer['error']}; leave --live-port out for a free port")
    return int(answer["port"])
