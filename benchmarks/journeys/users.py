"""16 threads, each with a session of its own that is called in a loop; it prints how many replies there were.

usage: users.py LIBRARY KIND URL SECONDS, such as `users.py loadkit json http://127.0.0.1:8000/ 4`
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

import loadkit

THREADS = 16
SESSIONS: dict[str, Callable[[], requests.Session]] = {"loadkit": loadkit.Session, "requests": requests.Session}


def status(http: requests.Session, url: str, over: threading.Event) -> int:
    count = 0
    while not over.is_set():
        assert http.get(url).status_code == 200
        count += 1
    return count


def json(http: requests.Session, url: str, over: threading.Event) -> int:
    count = 0
    while not over.is_set():
        assert http.get(url).json()
        count += 1
    return count


def post(http: requests.Session, url: str, over: threading.Event) -> int:
    count = 0
    while not over.is_set():
        assert http.post(url, json={"sku": "SKU-0001", "count": count}).status_code == 200
        count += 1
    return count


def cookies(http: requests.Session, url: str, over: threading.Event) -> int:
    http.cookies.set("session", "2f6c1d", domain="127.0.0.1", path="/")
    return status(http, url, over)


KINDS = {"status": status, "json": json, "post": post, "cookies": cookies}


def main(library: str, kind: str, url: str, seconds: float) -> int:
    over = threading.Event()

    def user() -> int:
        with SESSIONS[library]() as http:
            return KINDS[kind](http, url, over)

    with ThreadPoolExecutor(THREADS) as pool:
        users = [pool.submit(user) for _ in range(THREADS)]
        time.sleep(seconds)
        over.set()
    return sum(one.result() for one in users)


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
