"""`python -m benchmarks.live.viewers URL N`: looks at a live page as N browsers do, and counts its versions."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from contextlib import suppress
from urllib.parse import urlsplit

EVERY = 1.0
"""Seconds from one look to the next, as the script of the page has it."""


def look(url: str, delay: float, pages: list[int]) -> None:
    """Look until the run has ended, or nobody answers any more; one more in `pages` is one more that was taken."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=15)
    rest, shown = threading.Event(), None
    rest.wait(delay)
    with suppress(OSError, http.client.HTTPException):
        while True:
            now = json.loads(_taken(connection, f"{parts.path}state"))
            if now["version"] != shown:
                pages.append(len(_taken(connection, parts.path)))
                shown = now["version"]
            if now["state"] in ("ended", "lost"):
                return
            rest.wait(EVERY)


def _taken(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    return connection.getresponse().read()


def main() -> None:
    """Look with as many threads as there are to be viewers, which do not come at the same instant."""
    url, count = sys.argv[1], int(sys.argv[2])
    pages: list[int] = []
    threads = [threading.Thread(target=look, args=(url, EVERY * k / count, pages)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"pages": len(pages), "bytes": sum(pages)}))


if __name__ == "__main__":
    main()
