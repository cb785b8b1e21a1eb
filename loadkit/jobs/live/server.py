"""The process that serves the live page: `python -m loadkit.jobs.live.server`, told by a line of JSON on stdin.

It answers on 127.0.0.1 alone, to whoever knows the token, and by no other name, so that no page of another site reads
it. It prints its port, then a line each time that the run is to stop, and ends when stdin does, which has a last line
of JSON if the run came to its end.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from loadkit.jobs.live import FOUND, PORT
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.judge.result import Result

LOOK: Final = 0.3
"""Seconds between two looks for newer results."""

LINGER: Final = 2.5
"""Seconds for which the last page is served to those who look at it, each of whom asks once a second."""

QUIET: Final = 3.0
"""Seconds after which somebody who has asked nothing is gone."""

State: TypeAlias = Literal["running", "stopping", "ended", "lost"]
"""How the run stands; it is lost if its process ended without a result."""

NICE: Final = 10
"""By so much it stands back behind whoever else wants the CPU."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Page:
    """The page as it is now; made by one thread, read by those that serve it."""

    def __init__(self, folder: Path) -> None:
        self.version = 0
        self.content = b""
        self.asked = -math.inf
        """When somebody last asked for something, by the monotonic clock."""
        self.is_stopping = False
        self._folder = folder
        self._seen: list[tuple[str, int, int]] = []
        self._ending: Literal["", "ended", "lost"] = ""
        self._show([])

    @property
    def state(self) -> State:
        """How the run stands."""
        return self._ending or ("stopping" if self.is_stopping else "running")

    def look(self) -> None:
        """Make it anew if there are newer results."""
        files = self._files()
        stats = [(file.name, file.stat()) for file in files]
        seen = [(name, status.st_mtime_ns, status.st_ino) for name, status in stats]
        if seen != self._seen:
            self._seen = seen
            with suppress(UsageError):
                self._show(_loaded(files))

    def end(self, said: str) -> None:
        """Make it for the last time, with what the run said when it came to its end; empty if it did not."""
        errors: dict[str, str] = json.loads(said)["errors"] if said else {}
        files = self._files()
        with suppress(UsageError):
            # files of the same instant may look alike
            self._show(_loaded(files), errors, is_over=True)
        # whoever sees that the run has ended asks for this version, and for none after it
        self._ending = "ended" if said else "lost"

    def lingers(self, now: float) -> float:
        """For how many seconds it is still served: for none if nobody looks at it."""
        return LINGER if now - self.asked < QUIET else 0.0

    def _files(self) -> list[Path]:
        """Those of the results so far, or that of all that was found."""
        found = self._folder / FOUND
        return [found] if found.exists() else sorted(self._folder.glob("*.json"))

    def _show(self, results: list[Result], errors: Mapping[str, str] | None = None, *, is_over: bool = False) -> None:
        from loadkit.report.html import html_report
        from loadkit.report.render import render

        version = self.version + 1
        if results or errors:
            page = html_report(results, errors=errors, version=version, is_over=is_over)
        else:
            page = render("waiting.html", live=version, is_over=is_over)
        # in this order, for others ask for the version first
        self.content = page.encode()
        self.version = version


def _loaded(files: Sequence[Path]) -> list[Result]:
    from loadkit.report.json import load

    return [result for file in files for result in load(file)]


class Server(ThreadingHTTPServer):
    """Serves one page to those who know its token."""

    daemon_threads = True

    def __init__(self, port: int, token: str, page: Page) -> None:
        self.token = token
        self.page = page
        super().__init__(("127.0.0.1", port), Answer)

    def handle_error(self, *_: object) -> None:
        """A browser that has gone is nothing to print."""


class Answer(BaseHTTPRequestHandler):
    """What a browser asks for: the page, how it stands, and that the run stops."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "loadkit", ""
    # of one that says nothing, seconds
    timeout: ClassVar[float] = 15.0

    def do_GET(self) -> None:
        """The page, or how it stands."""
        page, path = self.server.page, self._allowed_path()
        if path == "":
            self._answer(HTTPStatus.OK, page.content, "text/html; charset=utf-8")
        elif path == "state":
            # the state first: once it is the last one, so is the version
            stands = {"state": page.state, "version": page.version}
            self._answer(HTTPStatus.OK, json.dumps(stands).encode(), "application/json")
        elif path is not None:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page\n")

    def do_POST(self) -> None:
        """Have the run stop."""
        path = self._allowed_path()
        if path is None:
            return
        if path != "stop":
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page\n")
            return
        self.server.page.is_stopping = True
        tell("stop")
        self._answer(HTTPStatus.OK, b"the run stops\n")

    def _allowed_path(self) -> str | None:
        """The path behind the token; None where the request was refused."""
        port = self.server.server_address[1]
        if self.headers.get("Host", "").lower() not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self._answer(HTTPStatus.FORBIDDEN, b"this page has another name\n")
            return None
        token, _, path = self.path.partition("?")[0].lstrip("/").partition("/")
        if not secrets.compare_digest(token.encode("latin-1", "replace"), self.server.token.encode()):
            self._answer(HTTPStatus.NOT_FOUND, b"open the page by the whole URL that loadkit printed\n")
            return None
        self.server.page.asked = time.monotonic()
        return path

    def _answer(self, status: HTTPStatus, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Type": kind, "Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        # what a request brings along is not read
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: who looks at the page is no matter of the run."""


def opened(port: int | None, token: str, page: Page) -> Server:
    """The server at this port; at the usual one, or a free one where that is taken, if None."""
    if port is not None:
        return Server(port, token, page)
    try:
        return Server(PORT, token, page)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return Server(0, token, page)


def tell(line: str) -> None:
    """A line to the process that runs the load; if it is gone, the end of stdin says so."""
    with suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def main() -> None:
    """Serve the page until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICE)
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    page = Page(Path(told["folder"]))
    try:
        server = opened(told["port"], told["token"], page)
    except OSError as error:
        tell(json.dumps({"error": f"port {told['port'] or PORT}: {error.strerror}".lower()}))
        return
    tell(json.dumps({"port": server.server_address[1]}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": LOOK}, daemon=True).start()
    while not select.select([sys.stdin], [], [], LOOK)[0]:
        page.look()
    page.end(sys.stdin.read())
    time.sleep(page.lingers(time.monotonic()))


if __name__ == "__main__":
    main()
