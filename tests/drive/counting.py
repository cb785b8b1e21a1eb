"""A server that answers after a while and writes down each request: on which connection, from when to when."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple


class Seen(NamedTuple):
    """One request that was answered; the connections are numbered as they came, instants are seconds."""

    connection: int
    began: float
    ended: float


class CountingServer:
    """See `counting`."""

    def __init__(self, wait: float) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self._wait = wait
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
                self.connections += 1
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, suppress(ConnectionError), sock.makefile("rb") as lines:
            while line := lines.readline():
                began = time.monotonic()
                while line not in (b"\r\n", b""):
                    line = lines.readline()
                time.sleep(self._wait)
                self.seen.append(Seen(number, began, time.monotonic()))
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def close(self) -> None:
        """Take no more connections; those that there are end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def first_requests(self) -> list[float]:
        """When each connection had its first request, seconds after the first one of all."""
        firsts: dict[int, float] = {}
        for one in sorted(self.seen, key=lambda one: one.began):
            firsts.setdefault(one.connection, one.began)
        start = min(firsts.values())
        return sorted(instant - start for instant in firsts.values())

    def in_flight(self, begin: float, end: float) -> float:
        """The mean number of requests it had at once from `begin` to `end`, seconds after the first request."""
        start = min(one.began for one in self.seen)
        spans = (min(one.ended - start, end) - max(one.began - start, begin) for one in self.seen)
        return sum(max(0.0, span) for span in spans) / (end - begin)


@contextmanager
def counting(wait: float = 0.02) -> Iterator[CountingServer]:
    """A counting server that takes `wait` seconds for each request."""
    server = CountingServer(wait)
    try:
        yield server
    finally:
        server.close()
