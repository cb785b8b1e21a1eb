"""Rows are handed out once each, in the order that was asked for, from files that may be large or broken."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadkit import Endpoint, Scenario, UsageError, rows
from loadkit.drive.rows.feed import CHUNK, RowFeed, RowsUsedUp, at_random, shuffled
from loadkit.drive.stats import Driven
from loadkit.plan.data import Order, Rows
from loadkit.plan.errors import FeedError
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.fake import FakeReply
from tests.drive.driving import on_fake

ORDERS: tuple[Order, ...] = ("file", "shuffled")


def all_of(feed: RowFeed) -> list[Any]:
    """What is left, until it is dry."""
    found = []
    try:
        while True:
            found.append(feed.take())
    except RowsUsedUp:
        return found
    finally:
        feed.close()


def some_of(feed: RowFeed, many: int) -> list[Any]:
    found = [feed.take() for _ in range(many)]
    feed.close()
    return found


def turns(part: int, parts: int) -> list[bool]:
    """Every `parts`-th row from one on."""
    return [turn == part for turn in range(parts)]


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def numbered(folder: Path, many: int, name: str = "n.csv") -> Path:
    if name.endswith(".csv"):
        return written(folder, name, "n,name\n" + "".join(f'{n},"no. {n}"\n' for n in range(many)))
    return written(folder, name, "".join(json.dumps({"n": str(n), "name": f"no. {n}"}) + "\n" for n in range(many)))


def ns(found: list[Any]) -> list[int]:
    return [int(row["n"]) for row in found]


# -- formats

CONTENTS: list[Any] = [
    pytest.param("a.csv", "id,name\n1,Ann\n2,Bob\n", id="csv"),
    pytest.param("a.csv", "id,name\r\n1,Ann\r\n2,Bob", id="csv of Windows, without a last line end"),
    pytest.param("a.csv", "\ufeffid,name\n\n1,Ann\n\n\n2,Bob\n\n", id="csv with a byte order mark and blank lines"),
    pytest.param("a.csv", '\n"id",name\n"1","Ann"\n2,Bob\n', id="csv with quotes, beginning with a blank line"),
    pytest.param("a.jsonl", '{"id":"1","name":"Ann"}\n{"id":"2","name":"Bob"}\n', id="lines"),
    pytest.param("a.ndjson", '\ufeff{"id":"1","name":"Ann"}\r\n\r\n\n {"id":"2","name":"Bob"} ', id="lines of Windows"),
    pytest.param("a.json", '\ufeff[{"id":"1","name":"Ann"},\n{"id":"2","name":"Bob"}]', id="json"),
]


@pytest.mark.parametrize(("name", "text"), CONTENTS)
@pytest.mark.parametrize("order", ORDERS)
def test_files_are_read(tmp_path: Path, name: str, text: str, order: Order) -> None:
    found = all_of(RowFeed(rows(written(tmp_path, name, text), order=order, at_end="stop")))
    assert sorted(found, key=str) == [{"id": "1", "name": "Ann"}, {"id": "2", "name": "Bob"}]


def test_values_of_json_keep_their_types(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"a": 1, "b": [true, null], "c": "ü\\n"}\n')
    assert some_of(RowFeed(rows(path)), 1)[0] == {"a": 1, "b": [True, None], "c": "ü\n"}


@settings(max_examples=50)
@given(table=st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), min_size=1)] * 2), min_size=1))
def test_any_csv_is_read_as_the_standard_library_wrote_it(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("ä", "b c"), *table])

    expected = [{"ä": one, "b c": two} for one, two in table]
    assert all_of(RowFeed(rows(path, at_end="stop"))) == expected
    found = all_of(RowFeed(rows(path, order="shuffled", at_end="stop")))
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


# -- what is wrong with them

BROKEN: list[Any] = [
    ("a.csv", "", "{} is empty; its first line names the columns, like id,name"),
    ("a.csv", "\n\n", "{} is empty; its first line names the columns, like id,name"),
    ("a.csv", "id,name\n", "{} has no rows"),
    ("a.csv", "id,name,id\n1,2,3\n", "{}:1 names the column 'id' 2 times"),
    ("a.csv", "id,,x\n1,2,3\n", "{}:1 gives column 2 no name"),
    ("a.csv", "id,name\n1,Ann\n2\n", "{}:3 has 1 value, and the first line names 2 columns"),
    ("a.csv", 'id,name\n1,"A\nB"\n2,Bob,x\n', "{}:4 has 3 values, and the first line names 2 columns"),
    ("a.csv", 'id,name\n1,Ann\n\n2,"Bob\n3,C\n', "{}:4 is not CSV: unexpected end of data"),
    ("a.csv", 'id,name\n1,"A"nn\n', "{}:2 is not CSV: ',' expected after '\"'"),
    ("a.csv", b"id,name\n1,Ann\n2,B\xff\n", "{}:3 is not UTF-8: the byte 0xff cannot stand there"),
    ("a.jsonl", "", "{} has no rows"),
    ("a.jsonl", '{"id": 1}\n\n[1]\n', "{}:3 is a list and not an object like {{'id': 17}}"),
    ("a.jsonl", "null\n", "{}:1 is null and not an object like {{'id': 17}}"),
    ("a.jsonl", b'{"id": "1"}\n{"id": "\xff"}\n', "{}:2 is not UTF-8: the byte 0xff cannot stand there"),
    ("a.json", "[]", "{} has no rows"),
    ("a.json", '{"id": 1}', "{} holds an object and not a list of objects; for one on each line call it .jsonl"),
    ("a.json", '[{"id": 1}, 2]', "{}, row 2, is a number and not an object like {{'id': 17}}"),
]


@pytest.mark.parametrize(("name", "content", "said"), BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_broken_is_said_with_its_place_before_the_start(
    tmp_path: Path, name: str, content: str | bytes, said: str, order: Order
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(FeedError) as caught:
        all_of(RowFeed(rows(path, order=order)))
    assert str(caught.value) == said.format(path)


def test_as_many_columns_as_anybody_has_are_read(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(60_000)]
    path = written(tmp_path, "a.csv", f"{','.join(names)}\n{','.join(names)}\n")
    before = time.process_time()

    assert all_of(RowFeed(rows(path, at_end="stop"))) == [dict(zip(names, names, strict=True))]

    # a minute where each name was looked for among all
    assert time.process_time() - before < 10


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_not_json_is_said_with_its_place(tmp_path: Path, order: Order) -> None:
    path = written(tmp_path, "a.jsonl", '{"id": 1}\n\n{"id": \n')
    with pytest.raises(FeedError) as caught:
        all_of(RowFeed(rows(path, order=order)))
    assert str(caught.value).startswith(f"{path}:3 is not JSON: ")


def test_files_that_are_not_there_are_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    for source, said in [
        ("users.csv", f"there is no file 'users.csv' in {tmp_path} to take rows from"),
        ("/nowhere/a.json", "there is no file '/nowhere/a.json' to take rows from"),
        ("folder.csv", "cannot read folder.csv: Is a directory"),
    ]:
        with pytest.raises(UsageError) as caught:
            RowFeed(rows(source))
        assert str(caught.value) == said


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_broken_far_behind_is_said_when_it_is_met(tmp_path: Path, order: Order) -> None:
    lines = [json.dumps({"n": n}) for n in range(3 * CHUNK)]
    lines[2 * CHUNK] = "[]"
    path = written(tmp_path, "a.jsonl", "\n".join(lines))
    said = f"{path}:{2 * CHUNK + 1} is a list and not an object like {{'id': 17}}"
    # a seed with which the broken line is not among the first
    feed = RowFeed(rows(path, order=order, at_end="stop"), seed=2)
    found: list[int] = []
    with pytest.raises(FeedError) as caught:
        found.extend(row["n"] for row in iter(feed.take, None))
    assert str(caught.value) == said
    assert len(found) >= CHUNK
    assert order == "shuffled" or found == list(range(2 * CHUNK)), "rows before the broken one count"
    with pytest.raises(FeedError, match="is a list"):
        feed.take()
    feed.close()


def test_a_column_that_is_wanted_is_looked_for_in_each_row(tmp_path: Path) -> None:
    wanted = {"id": "GET /users/{id}"}
    for name, text, place in [
        ("a.csv", "name,age\nAnn,3\n", ":1"),
        ("a.jsonl", '{"id": 1}\n{"name": 2, "age": 3}\n', ":2"),
        ("a.json", '[{"name": 2, "age": 3}]', ", row 1,"),
    ]:
        path = written(tmp_path, name, text)
        with pytest.raises(FeedError) as caught:
            RowFeed(rows(path), wanted=wanted)
        assert str(caught.value) == f"{path}{place} has no column 'id' for GET /users/{{id}}; it has name, age"


# -- order and end


def test_in_order_and_again(tmp_path: Path) -> None:
    assert ns(some_of(RowFeed(rows(numbered(tmp_path, 3))), 7)) == [0, 1, 2, 0, 1, 2, 0]
    assert ns(some_of(RowFeed(rows([{"n": 0}, {"n": 1}])), 5)) == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("name", ["n.csv", "n.jsonl"])
def test_shuffled_is_each_once_a_lap_and_each_lap_another(tmp_path: Path, name: str) -> None:
    found = ns(some_of(RowFeed(rows(numbered(tmp_path, 500, name), order="shuffled"), seed=5), 1500))
    laps = [found[:500], found[500:1000], found[1000:]]
    assert [sorted(lap) for lap in laps] == [list(range(500))] * 3
    assert len({tuple(lap) for lap in [*laps, range(500)]}) == 4


@pytest.mark.parametrize("order", ["shuffled", "random"])
def test_the_seed_decides_and_nothing_else(tmp_path: Path, order: Order) -> None:
    path = numbered(tmp_path, 300)
    as_list = [{"n": str(n), "name": f"no. {n}"} for n in range(300)]
    first = some_of(RowFeed(rows(path, order=order), seed=1), 900)
    assert first == some_of(RowFeed(rows(path, order=order), seed=1), 900)
    assert first == some_of(RowFeed(rows(as_list, order=order), seed=1), 900)
    assert first != some_of(RowFeed(rows(path, order=order), seed=2), 900)


@pytest.mark.parametrize("order", ["file", "shuffled", "random"])
@pytest.mark.parametrize("name", ["n.csv", "n.jsonl"])
def test_parts_are_the_whole(tmp_path: Path, order: Order, name: str) -> None:
    path = numbered(tmp_path, 500, name)
    whole = ns(some_of(RowFeed(rows(path, order=order), seed=3), 1200))
    for part in range(3):
        feed = RowFeed(rows(path, order=order), seed=3, turns=[turns(part, 3)])
        assert ns(some_of(feed, 400)) == whole[part::3]


@pytest.mark.parametrize("order", ORDERS)
def test_more_parts_than_rows_leave_some_with_nothing(tmp_path: Path, order: Order) -> None:
    made = rows(numbered(tmp_path, 2), order=order, at_end="stop")
    found = [ns(all_of(RowFeed(made, turns=[turns(part, 3)]))) for part in range(3)]
    assert sorted(map(len, found)) == [0, 1, 1]
    assert sorted(chain.from_iterable(found)) == [0, 1]


@pytest.mark.parametrize("order", ORDERS)
def test_when_it_is_dry_it_says_of_what(tmp_path: Path, order: Order) -> None:
    path = numbered(tmp_path, 1000)
    feed = RowFeed(rows(path, order=order, at_end="stop"))
    for _ in range(1000):
        feed.take()
    for _ in range(2):
        with pytest.raises(RowsUsedUp) as caught:
            feed.take()
        assert str(caught.value) == f"{path} has 1,000 rows and each was used once"
    feed.close()


def test_a_generator_is_asked_for_what_is_needed_and_ends_once() -> None:
    asked = count()

    def source() -> Iterator[dict[str, int]]:
        for _ in range(3):
            yield {"n": next(asked)}

    feed = RowFeed(rows(source()))
    assert feed.first == {"n": 0}
    assert ns([feed.take(), feed.take()]) == [0, 1]
    assert next(asked) == 2, "nothing was read ahead"
    feed.take()
    with pytest.raises(RowsUsedUp, match=r"^the generator of rows ended after 3 rows$"):
        feed.take()


def test_a_generator_may_have_no_end() -> None:
    feed = RowFeed(rows({"n": n} for n in count()), turns=[turns(1, 2)])
    assert ns(some_of(feed, 1000)) == list(range(1, 2000, 2))


def test_a_generator_that_fails_ends_the_feed_with_its_reason() -> None:
    def source() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise ValueError("no more users")

    feed = RowFeed(rows(source()))
    feed.take()
    for _ in range(2):
        with pytest.raises(
            FeedError, match=r"^the generator of rows failed with ValueError: no more users at test_feed"
        ):
            feed.take()


def test_what_is_no_mapping_is_refused_with_its_number() -> None:
    with pytest.raises(FeedError, match=r"^the list of rows, row 2, is text and not an object like"):
        RowFeed(rows([{"n": 1}, "n"]))  # type: ignore[list-item]


def test_a_closed_feed_is_dry(tmp_path: Path) -> None:
    feed = RowFeed(rows(numbered(tmp_path, 3), order="shuffled"))
    feed.close()
    with pytest.raises(RowsUsedUp, match=r"n\.csv is closed$"):
        feed.take()


def test_a_generator_that_does_not_return_holds_nobody_who_closes() -> None:
    asked, told = threading.Event(), threading.Event()

    def source() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        asked.set()
        told.wait()
        yield {"n": 2}

    feed = RowFeed(rows(source()))
    thread = threading.Thread(target=lambda: [feed.take(), feed.take()])
    thread.start()
    asked.wait()
    feed.close(patience=0.01)
    told.set()
    thread.join()


def test_a_file_that_shrinks_in_mid_run_is_noticed(tmp_path: Path) -> None:
    path = numbered(tmp_path, 10 * CHUNK)
    feed = RowFeed(rows(path, order="shuffled"))
    path.write_text("n,name\n")
    with pytest.raises(FeedError, match=r"n\.csv became shorter while rows were taken from it$"):
        deque(iter(feed.take, None), maxlen=0)
    feed.close()


# -- threads


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("source", ["file", "list", "generator"])
def test_each_row_goes_to_one_thread(tmp_path: Path, order: Order, source: str) -> None:
    many = 4_000
    if source == "generator":
        if order != "file":
            return
        made = rows(({"n": n} for n in range(many)), at_end="stop")
    else:
        data = numbered(tmp_path, many) if source == "file" else [{"n": n} for n in range(many)]
        made = rows(data, order=order, at_end="stop")
    feed = RowFeed(made)
    found: list[list[int]] = [[] for _ in range(8)]
    barrier = threading.Barrier(8)

    def take(mine: list[int]) -> None:
        barrier.wait()
        try:
            while True:
                mine.append(int(feed.take()["n"]))
        except RowsUsedUp:
            pass

    threads = [threading.Thread(target=take, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    feed.close()
    assert sorted(chain.from_iterable(found)) == list(range(many))
    assert order == "shuffled" or all(mine == sorted(mine) for mine in found)


# -- memory


def peak_of_taking(path: Path, order: Order, many: int) -> int:
    """The most bytes that Python held for it."""
    tracemalloc.start()
    try:
        feed = RowFeed(rows(path, order=order, at_end="stop"))
        for _ in range(many):
            feed.take()
        with pytest.raises(RowsUsedUp):
            feed.take()
        feed.close()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize(("order", "of_a_row"), [("file", 0), ("shuffled", 16)])
def test_memory_is_that_of_a_chunk_and_of_where_rows_begin(tmp_path: Path, order: Order, of_a_row: int) -> None:
    path = numbered(tmp_path, 50_000)
    assert peak_of_taking(path, order, 50_000) < 300_000 + of_a_row * 50_000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("order", "most"), [("file", 13_000), ("shuffled", 54_000)])
def test_memory_for_three_million_rows_is_a_few_bytes_a_row(tmp_path: Path, order: Order, most: int) -> None:
    import resource

    path = tmp_path / "n.csv"
    with path.open("w") as file:
        file.write("n,name\n")
        file.writelines(f"{n},no. {n}\n" for n in range(3_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    feed = RowFeed(rows(path, order=order, at_end="stop"))
    seen = bytearray(3_000_000)
    for row in islice(iter(feed.take, None), 3_000_000):
        seen[int(row["n"])] += 1
    with pytest.raises(RowsUsedUp, match="3,000,000 rows"):
        feed.take()
    feed.close()
    assert seen.count(1) == 3_000_000
    # kB on Linux: the 3 MB of `seen`, and what the positions and a chunk take
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < most


# -- the order itself


@given(n=st.integers(0, 3000), seed=st.integers())
@settings(max_examples=60)
def test_shuffled_is_a_permutation_in_each_lap(n: int, seed: int) -> None:
    positions = shuffled(n, seed=seed)
    for _ in range(3):
        assert sorted(islice(positions, n)) == list(range(n))


def chi_squared(counts: Counter[Any], cells: int) -> float:
    expected = counts.total() / cells
    return sum((counts[cell] - expected) ** 2 / expected for cell in counts) + expected * (cells - len(counts))


def test_few_rows_come_in_all_orders_alike() -> None:
    seen = Counter(tuple(islice(shuffled(4, seed=seed), 4)) for seed in range(4800))
    # 23 degrees of freedom: above 50 once in a thousand; the seeds are fixed
    assert chi_squared(seen, 24) < 50


@pytest.mark.parametrize("lag", [1, 2, 141, 142])
def test_neighbours_are_not_neighbours_afterwards(lag: int) -> None:
    n = 20_000
    order = list(islice(shuffled(n, seed=1), n))
    steps = Counter((after - before) % n * 20 // n for before, after in zip(order, order[lag:], strict=False))
    # 19 degrees of freedom: above 44 once in a thousand
    assert chi_squared(steps, 20) < 44


def test_random_takes_any_of_them_alike() -> None:
    draws = at_random(10, seed=4)
    # 9 degrees of freedom: above 28 once in a thousand
    assert chi_squared(Counter(next(draws) for _ in range(5000)), 10) < 28


def fed_run(feed: Rows, **fields: Any) -> Driven:
    """Run an endpoint that takes rows on the fake network, one thread."""
    scenario = Scenario(endpoints=[Endpoint("GET", "http://fake/{id}", feed=feed)], threads=1, **fields)
    return on_fake(scenario, FakeReply(after=MILLISECOND))


@pytest.mark.parametrize("load", [{"duration": "1h"}, {"rate": "10/s", "max_threads": 1, "duration": "1h"}], ids=str)
def test_rows_that_are_used_up_end_the_run_and_are_no_fault(load: dict[str, Any]) -> None:
    done = fed_run(rows([{"id": k} for k in range(100)], at_end="stop"), **load)

    total = done.recording.total()
    assert (total.requests, total.unsent) == (100, 0)
    assert done.stats.halted.endswith("has 100 rows and each was used once")
    assert not done.stats.is_fault
    assert done.stats.stopped_at - done.stats.measured_from < 60 * SECOND


def test_a_row_that_breaks_in_mid_run_ends_it_with_what_was_measured() -> None:
    def broken() -> Iterator[dict[str, int]]:
        yield from ({"id": k} for k in range(100))
        raise OSError("the tape is torn")

    done = fed_run(rows(broken()), duration="1h")

    assert done.recording.total().requests == 100
    assert "the tape is torn" in done.stats.halted
    assert done.stats.is_fault
