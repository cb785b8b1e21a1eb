"""A server that answers after a while and writes down each request: on which connection, from when to when."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple


class Seen(NamedTuple):
    """One request that was answered; the connections are numbered as they came, instants are seconds of the epoch."""

    connection: int
    began: float
    ended: float


class CountingServer:
    def __init__(self, wait: float) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self._wait = wait
        self._port = 0
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.listen()
        self.url = f"http://127.0.0.1:{self._port}"

    def listen(self) -> None:
        """Take connections, again on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = self._listener.getsockname()[1]
        self._threads.append(threading.Thread(target=self._accept, args=(self._listener,)))
        self._threads[-1].start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self._socks.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock, self.connections))
                self.connections += 1
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, suppress(OSError), sock.makefile("rb") as lines:
            while line := lines.readline():
                began = time.time()
                while line not in (b"\r\n", b""):
                    line = lines.readline()
                time.sleep(self._wait)
                self.seen.append(Seen(number, began, time.time()))
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def vanish(self) -> None:
        """Take no more connections, and cut those that there are."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.vanish()
        for thread in self._threads:
            thread.join(5)

    def first_requests(self, start: float) -> list[float]:
        """When each connection had its first request, seconds after `start`."""
        firsts: dict[int, float] = {}
        for one in sorted(self.seen, key=lambda one: one.began):
            firsts.setdefault(one.connection, one.began)
        return sorted(instant - start for instant in firsts.values())

    def in_flight(self, start: float, begin: float, end: float) -> float:
        """The mean number of requests it had at once from `begin` to `end`, seconds after `start`."""
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
