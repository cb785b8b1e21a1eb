"""Fetches that find their number of threads, as the server sees them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadkit.fetcher import fetch
from loadkit.fetcher.progress import Progress
from tests.witness.witness import Witness, watching

SETTLED = 1.0
"""Seconds after a search in which its last requests are answered and threads too many end."""
LOOKED_AT = 2.0


@pytest.fixture
def witness() -> Iterator[Witness]:
    with watching() as one:
        yield one


def urls(witness: Witness, count: int, query: str) -> Iterator[str]:
    return (f"{witness.url}/{number}?{query}" for number in range(count))


class Watch:
    """Watches a fetch, and asks for its end some time after it has found its number of threads."""

    def __init__(self) -> None:
        self.found_at: float | None = None
        self.running = 0
        """Threads in the end."""

    def see(self, progress: Progress) -> None:
        if not progress.is_tuning and self.found_at is None:
            self.found_at = time.time()
        if not self.asked():
            self.running = sum(one.name.removeprefix("loadkit-fetch-").isdigit() for one in threading.enumerate())

    def asked(self) -> int:
        return int(self.found_at is not None and time.time() > self.found_at + SETTLED + LOOKED_AT)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("query", ["ms=50&slots=8", "ms=50&slots=8&slower=20"], ids=["workers", "slower beyond them"])
def test_the_number_of_threads_that_is_said_is_the_one_that_is_used(witness, tmp_path: Path, query):
    watch = Watch()
    fetched = fetch(
        urls(witness, 100_000, query), threads="auto", into=tmp_path, watch=watch.see, interrupts=watch.asked
    ).wait()

    log = witness.log()
    assert Counter(log.ids()).most_common(1)[0][1] == 1, "no URL was sent twice"
    assert len(log) == fetched.files
    after = log.since(watch.found_at + SETTLED)
    before_the_end = [one for one in after.requests if one.received < watch.found_at + SETTLED + LOOKED_AT]
    assert len({one.connection for one in before_the_end}) == fetched.threads
    assert after.most_under_way() == fetched.threads
    assert watch.running == fetched.threads
    # where trials scatter too much to tell, the search recommends none
    assert fetched.limit.threads in (None, fetched.threads)
    assert log.most_under_way() == max(one.level for one in fetched.limit.closed)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_server_that_refuses_is_asked_for_less_and_then_refuses_nothing(witness, tmp_path: Path):
    watch = Watch()
    query = "ms=50&slots=8&crowded=429"
    fetched = fetch(
        urls(witness, 100_000, query), threads="auto", into=tmp_path, watch=watch.see, interrupts=watch.asked
    ).wait()

    log = witness.log()
    assert fetched.threads <= 8
    refused = fetched.retries["429"]
    assert len(log) == fetched.files + refused
    assert refused < 0.03 * len(log)
    after = log.since(watch.found_at + SETTLED).ids()
    assert len(set(after)) == len(after) > 0


def interrupted_after(seconds: float) -> Callable[[], int]:
    end = time.monotonic() + seconds
    return lambda: int(time.monotonic() > end)


def test_a_search_that_is_interrupted_says_so_and_is_gone_on_with(witness, tmp_path: Path):
    listed = list(urls(witness, 400, "ms=20&slots=3"))
    stopped = fetch(listed, threads="auto", into=tmp_path, interrupts=interrupted_after(1.5)).wait()
    resumed = fetch(listed, threads="auto", into=tmp_path, resume=True).wait()

    assert (stopped.exit_code, stopped.limit.ending) == (2, "interrupted")
    assert stopped.result.scenario.options["auto"] == f"{stopped.threads} in the end: it was interrupted"
    assert (resumed.files, resumed.complete) == (400 - stopped.files, stopped.files)
    assert Counter(witness.log().ids()) == dict.fromkeys(range(400), 1)
