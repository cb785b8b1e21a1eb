"""The load test of the tutorials: 16 threads, each with a requests.Session; it prints the request count.

usage: sessions.py URL SECONDS
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

THREADS = 16


def user(url: str, over: threading.Event) -> int:
    count = 0
    with requests.Session() as session:
        while not over.is_set():
            session.get(url).raise_for_status()
            count += 1
    return count


def main(url: str, seconds: float) -> int:
    over = threading.Event()
    with ThreadPoolExecutor(THREADS) as pool:
        users = [pool.submit(user, url, over) for _ in range(THREADS)]
        time.sleep(seconds)
        over.set()
    return sum(one.result() for one in users)


if __name__ == "__main__":
    print(main(sys.argv[1], float(sys.argv[2])))
