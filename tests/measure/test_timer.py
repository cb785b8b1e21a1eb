"""Timers: what they tell whoever keeps time, nested, shared, in tasks, and where nobody does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from loadkit import UsageError, timed, timer
from loadkit.measure.timer import KEEPER, step


class Span(NamedTuple):
    kind: str
    name: str
    began: int
    ended: int
    error: BaseException | None


class Kept:
    """Keeps what it is told; once it is full it lets no timer begin."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.is_over = False

    def begin(self) -> int:
        if self.is_over:
            raise TimeoutError("over")
        return time.monotonic_ns()

    def keep(self, kind: str, name: str, began: int, error: BaseException | None) -> None:
        self.spans.append(Span(kind, name, began, time.monotonic_ns(), error))


@pytest.fixture
def kept() -> Iterator[Kept]:
    """Who keeps time in this thread."""
    keeper = Kept()
    token = KEEPER.set(keeper)
    yield keeper
    KEEPER.reset(token)


def test_a_block_is_kept_with_its_begin_and_end(kept: Kept):
    with timer("redis get"), step("checkout"):
        pass

    inner, outer = kept.spans
    assert (inner.kind, inner.name, inner.error) == ("step", "checkout", None)
    assert (outer.kind, outer.name, outer.error) == ("timer", "redis get", None)
    assert outer.began <= inner.began <= inner.ended <= outer.ended


def test_what_a_block_raises_is_kept_and_passed_on(kept: Kept):
    with pytest.raises(KeyError), timer("a"), timer("b"):
        raise KeyError("tea")

    assert [(span.name, type(span.error)) for span in kept.spans] == [("b", KeyError), ("a", KeyError)]


def test_a_function_is_timed_under_its_name_or_another(kept: Kept):
    @timed
    def lookup(key: str) -> str:
        """Look a key up."""
        return key.upper()

    @timed("redis get")
    async def get(key: str) -> str:
        await asyncio.sleep(0)
        return key.upper()

    assert lookup("tea") == "TEA"
    assert asyncio.run(get("tea")) == "TEA"
    assert (lookup.__name__, lookup.__doc__, get.__name__) == ("lookup", "Look a key up.", "get")
    assert [span.name for span in kept.spans] == ["lookup", "redis get"]


def test_a_recursive_function_is_timed_call_by_call(kept: Kept):
    @timed
    def down(depth: int) -> int:
        return depth and down(depth - 1)

    down(2)

    innermost, middle, outermost = kept.spans
    assert outermost.began <= middle.began <= innermost.began <= innermost.ended <= middle.ended <= outermost.ended


def test_one_timer_may_be_used_by_many_threads_at_once():
    shared = timer("shared")
    first_is_in, second_is_out = threading.Event(), threading.Event()
    spans: dict[str, Span] = {}

    def hold() -> None:
        keeper = Kept()
        KEEPER.set(keeper)
        with shared:
            first_is_in.set()
            assert second_is_out.wait(10)
        spans["first"] = keeper.spans[0]

    def pass_by() -> None:
        keeper = Kept()
        KEEPER.set(keeper)
        assert first_is_in.wait(10)
        with shared:
            pass
        spans["second"] = keeper.spans[0]
        second_is_out.set()

    threads = [threading.Thread(target=one) for one in (hold, pass_by)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert spans["first"].began <= spans["second"].began <= spans["second"].ended <= spans["first"].ended


def test_one_timer_may_be_used_by_many_tasks_at_once(kept: Kept):
    shared = timer("shared")

    async def hold(is_in: asyncio.Event, out: asyncio.Event) -> None:
        with shared:
            is_in.set()
            await out.wait()

    async def both() -> None:
        is_in, out = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(hold(is_in, out))
        await is_in.wait()
        with shared:
            pass
        out.set()
        await first

    asyncio.run(both())

    second, first = kept.spans
    assert first.began <= second.began <= second.ended <= first.ended


def test_timers_of_a_generator_end_in_their_own_order(kept: Kept):
    def generator() -> Iterator[None]:
        with timer("within"):
            yield

    shared = generator()
    next(shared)
    with timer("beside"):
        next(shared, None)

    within, beside = kept.spans
    assert (within.name, beside.name) == ("within", "beside")
    assert within.began <= beside.began <= within.ended <= beside.ended


def test_no_timer_begins_when_time_is_up(kept: Kept):
    kept.is_over = True
    entered = []

    with pytest.raises(TimeoutError), timer("late"):
        entered.append(True)

    assert (entered, kept.spans) == ([], [])


def test_outside_of_a_run_nothing_is_kept_and_nothing_goes_wrong():
    assert KEEPER.get() is None
    with timer("alone"):
        pass
    assert timed(len)([1]) == 1


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_timer_wants_a_name(name: object):
    with pytest.raises(UsageError, match=r"^timer takes a name like 'redis get', not "):
        timer(name)  # type: ignore[arg-type]


def test_a_decorator_wants_a_function_that_does_its_work_when_called():
    def pages() -> Iterator[int]:
        yield 1

    with pytest.raises(UsageError, match=r"^timed takes a function, or a name like timed\('redis get'\), not 3$"):
        timed(3)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=r"^timed would only time how pages begins, for it yields; write a timer"):
        timed(pages)
