"""A site on loopback whose every page is a function, and what is left in a folder."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Call(BaseHTTPRequestHandler):
    """One request, as a page sees it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Site

    def handle_any(self) -> None:
        """Count it, then do what the page says."""
        path = self.path.partition("?")[0]
        length = int(self.headers.get("Content-Length") or 0)
        self.sent_body = self.rfile.read(length)
        with self.server.lock:
            self.server.hits[self.path] += 1
            self.server.calls.append((time.monotonic(), self.path, dict(self.headers)))
            count = self.server.hits[self.path]
        page = self.server.pages.get(path) or default
        page(self, count)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815 - what http.server calls

    def reply(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        headers.setdefault("Content_Type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def say(self, data: bytes) -> None:
        """Bytes as they are, and then the end."""
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


Page = Callable[[Call, int], None]


def body_of(path: str) -> bytes:
    """What a page without a function of its own says."""
    return json.dumps({"path": path, "filler": hashlib.sha256(path.encode()).hexdigest() * 4}).encode()


def default(call: Call, _: int) -> None:
    call.reply(body_of(call.path))


class Site(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.pages: dict[str, Page] = {}
        self.hits: Counter[str] = Counter()
        self.calls: list[tuple[float, str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def at(self, path: str, page: Page) -> str:
        """Let a page do this; its URL."""
        self.pages[path] = page
        return self.url + path

    def urls(self, count: int, stem: str = "/posts/") -> list[str]:
        return [f"{self.url}{stem}{number}" for number in range(1, count + 1)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is nothing to talk about."""

    def end(self) -> None:
        self.shutdown()
        self.server_close()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """A folder that there is not yet."""
    return tmp_path / "bodies"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.end()


@pytest.fixture
def other() -> Iterator[Site]:
    made = Site()
    yield made
    made.end()


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_bytes().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but its manifest and its lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("manifest.jsonl", "manifest.lock")
    }


def limited(most: int) -> list[str]:
    """The command in a process of its own that may have so many bytes of data."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({most}, {most}))"
    return [sys.executable, "-c", f"{code}; from loadkit.cli import main; main()"]
