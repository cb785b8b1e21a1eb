"""A server that counts: it writes down each connection and each request, and knows nothing of loadkit.

It is a program of its own, so that it shares no interpreter with what it watches:

    python server.py ADDRESS    prints its port, then answers each line on its standard input with its log;
                                behind the line `clear` it begins a new one

The log is a line of JSON: `connections` (the instants at which they were accepted) and `requests`, each with the number
of its connection, the instants (seconds since the epoch) at which its last byte was read and at which its reply was
written (null while it is answered), its method, its target, its headers, its body, and the address that it came from.

What a query asks for is done: `ms=200` delays the reply, `slots=8` lets so many be answered at once and the others wait
(`crowded=429`: refuses them with that status; `slower=5`: takes so many times as long as there are more than slots),
`bye` says that the connection is closed behind it,
`status=302` and `location=/there` are those of the reply, `cookie=a=1` sets a cookie, `chunked` and `gzip` say how
the body is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

OTHERS = [f"127.0.0.{number}" for number in range(2, 6)]
"""Further addresses at which it serves, where there are such."""
OPENED: list[float] = []
REQUESTS: list[list[Any]] = []
SLOTS: dict[int, asyncio.Semaphore] = {}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, one after the other."""
    OPENED.append(time.time())
    connection = len(OPENED) - 1
    try:
        while await answer(connection, reader, writer):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def answer(connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; False if the connection is to be closed."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields if field)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    peer = writer.get_extra_info("peername")[0]
    record = [connection, time.time(), None, method, target, headers, body.decode("latin-1"), peer]
    REQUESTS.append(record)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query, keep_blank_values=True).items()}
    await work(asked)
    record[2] = time.time()
    writer.write(reply(asked, is_head=method == "HEAD"))
    await writer.drain()
    return "bye" not in asked


async def work(asked: dict[str, str]) -> None:
    """Take as long as a query asks for."""
    delay, slots = int(asked.get("ms", "0")) / 1000, int(asked.get("slots", "1000000"))
    slot = SLOTS.setdefault(slots, asyncio.Semaphore(slots))
    if slot.locked() and "crowded" in asked:
        asked["status"] = asked["crowded"]
        return
    if slot.locked():
        delay *= int(asked.get("slower", "1"))
    async with slot:
        await asyncio.sleep(delay)


def reply(asked: dict[str, str], *, is_head: bool) -> bytes:
    body = b"" if asked.get("status") == "204" else b'{"ok": true}'
    lines = [f"HTTP/1.1 {asked.get('status', '200')} Said", "Content-Type: application/json"]
    if "bye" in asked:
        lines.append("Connection: close")
    if "location" in asked:
        lines.append(f"Location: {asked['location']}")
    if "cookie" in asked:
        lines.append(f"Set-Cookie: {asked['cookie']}; Path=/")
    if "gzip" in asked:
        body, lines = gzip.compress(body), [*lines, "Content-Encoding: gzip"]
    if "chunked" in asked:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if is_head else body)


async def main() -> None:
    """Serve until the standard input is closed."""
    server = await asyncio.start_server(serve, sys.argv[1], 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    for other in OTHERS:
        # Linux has all of 127/8, other systems one address of it
        with contextlib.suppress(OSError):
            await asyncio.start_server(serve, other, port, backlog=1024)
    print(port, flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        print(json.dumps({"connections": OPENED, "requests": REQUESTS}), flush=True)
        if order == b"clear\n":
            OPENED.clear()
            REQUESTS.clear()


if __name__ == "__main__":
    asyncio.run(main())
