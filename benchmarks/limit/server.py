"""A server of a known capacity: workers behind one queue, or so many requests a second; run as a process of its own.

Its queue is one of numbers: when a request will be done is computed when it arrives, and the reply is sent then. So a
timer that is late delays that reply, and the capacity stays what it is.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import random
from typing import Final

GOOD: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED: Final = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"


class Queue:
    """When requests are done, that are served first come first served."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._free = [0.0] * options.workers
        self._mean = options.milliseconds / 1000
        self._is_exponential = options.exponential
        self._lot = random.Random(options.seed)
        self._rate = options.rate
        self._burst = self._tokens = float(options.burst)
        self._last = 0.0

    def admits(self, now: float) -> bool:
        """True if a request is within the limit of the rate."""
        if not self._rate:
            return True
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._rate)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def done(self, now: float) -> float:
        """When a request that arrives now is done."""
        span = self._lot.expovariate(1 / self._mean) if self._is_exponential else self._mean
        done = max(now, self._free[0]) + span
        heapq.heapreplace(self._free, done)
        return done


class Connection(asyncio.Protocol):
    """One client, which sends a request after the other."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._read = (self._read + data).split(b"\r\n\r\n")
        for _ in requests:
            now = self._loop.time()
            if self._queue.admits(now):
                self._loop.call_at(self._queue.done(now), self._write, GOOD)
            else:
                self._write(REFUSED)

    def _write(self, reply: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(reply)


async def main(options: argparse.Namespace) -> None:
    """Serve until killed; the port is printed."""
    queue = Queue(options)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(queue), "127.0.0.1", options.port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("milliseconds", type=float, help="how long a request takes a worker")
    parser.add_argument("workers", type=int)
    parser.add_argument("--exponential", action="store_true", help="so long on average, exponentially distributed")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second that are let in; the others get 429")
    parser.add_argument("--burst", type=float, default=20.0, help="how many more after a while with less")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    return parser


if __name__ == "__main__":
    asyncio.run(main(arguments().parse_args()))
