"""Our sparse histogram against HdrHistogram itself, and against all values sorted."""

from __future__ import annotations

import base64
import random
import struct
import tracemalloc
import zlib
from fractions import Fraction
from itertools import pairwise

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from loadkit.measure.histogram import HIGHEST, Histogram

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND

# around each power of two: where a unit ends (512), where the width of the buckets doubles (2048 units and up)
EDGES = [0, 1, *sorted({(1 << k) + off for k in range(9, 42) for off in (-1, 0, 1)}), HOUR - 1, HOUR]
# as many small ones as large ones: a uniform distribution would be all hours
times = st.integers(0, 41).flatmap(lambda k: st.integers(0, min(1 << k, HOUR))) | st.sampled_from(EDGES)
several = st.lists(times, max_size=50)
some = st.lists(times, min_size=1, max_size=50)
percents = st.floats(0, 100, exclude_min=True) | st.sampled_from([50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0])


def theirs(values: list[int], lowest: int = 1000, highest: int = HOUR, digits: int = 3) -> HdrHistogram:
    """The same values in the library's own histogram."""
    made = HdrHistogram(lowest, highest, digits)
    for value in values:
        assert made.record_value(value)
    return made


THEIRS = theirs([])


def bucket(value: int) -> tuple[int, int, int]:
    """The bucket that HdrHistogram puts a value in, with that value alone."""
    return THEIRS.get_lowest_equivalent_value(value), THEIRS.get_highest_equivalent_value(value), 1


def test_values_where_buckets_end_lie_in_those_that_hdrhistogram_puts_them_in() -> None:
    assert [Histogram.of([value]).buckets() for value in EDGES] == [[bucket(value)] for value in EDGES]


@given(times)
def test_any_value_does(value: int) -> None:
    assert Histogram.of([value]).buckets() == [bucket(value)]


@given(several)
def test_its_text_is_byte_for_byte_what_hdrhistogram_writes(values: list[int]) -> None:
    assert Histogram.of(values).encode() == theirs(values).encode().decode()


@given(some, percents)
def test_a_percentile_is_the_value_of_its_rank_rounded_up(values: list[int], percent: float) -> None:
    rank = -(-Fraction(str(percent)) * len(values) // 100)
    exact = sorted(values)[int(rank) - 1]
    found = Histogram.of(values).percentile(percent)
    assert found == min(THEIRS.get_highest_equivalent_value(exact), max(values))
    assert 0 <= found - exact <= max(511, exact // 1000), "three digits, or half a microsecond"


@pytest.mark.parametrize(
    ("percent", "count", "rank"),
    [
        (50, 1, 1),
        (50, 2, 1),
        (50, 3, 2),
        (99.9, 1000, 999),
        (99.9, 1001, 1000),
        (0.07, 10_000, 7),  # 0.07 * 10000 is 700.0000000000001 to a binary float
        (0.28, 5000, 14),
        (1e-9, 5, 1),
        (100, 7, 7),
    ],
)
def test_a_rank_is_exact(percent: float, count: int, rank: int) -> None:
    assert Histogram.of([k * 512 for k in range(1, count + 1)]).percentile(percent) == min(
        rank * 512 + 511, count * 512
    )


def many(value: int, count: int) -> Histogram:
    """One value, counted in doublings: 5 million in 23 steps."""
    made, power = Histogram(), Histogram.of([value])
    for digit in reversed(f"{count:b}"):
        if digit == "1":
            made.add(power)
        power.add(power)
    return made


@pytest.mark.parametrize(
    ("percent", "rank", "count"),
    [
        (64.4, 5_275_648, 8_192_000),  # floats rounded to nine digits were one too high from here on
        (99.999, 99_999_000_000, 100_000_000_000),
    ],
)
def test_a_rank_is_exact_among_millions(percent: float, rank: int, count: int) -> None:
    made = many(1 * MICROSECOND, rank)
    made.add(many(2 * SECOND, count - rank))
    assert made.count == count
    assert made.percentile(percent) < 2 * MICROSECOND


@given(some, st.lists(percents, min_size=2, max_size=8))
def test_percentiles_grow_with_the_percentage_and_stay_between_min_and_max(
    values: list[int], asked: list[float]
) -> None:
    histogram = Histogram.of(values)
    found = histogram.percentiles(sorted(asked))
    assert all(low <= high for low, high in pairwise([min(values), *found, max(values)]))
    assert histogram.percentile(100) == max(values)
    assert histogram.percentiles(asked) == [histogram.percentile(percent) for percent in asked]


@given(some)
def test_count_sum_mean_min_and_max_are_exact(values: list[int]) -> None:
    made = Histogram.of(values)
    assert (made.count, made.sum, made.min, made.max) == (len(values), sum(values), min(values), max(values))
    assert made.mean == sum(values) / len(values)


@given(several, st.randoms(use_true_random=False), st.integers(1, 6))
def test_any_split_merged_in_any_order_is_the_whole(values: list[int], chance: random.Random, parts: int) -> None:
    pieces = [Histogram() for _ in range(parts)]
    for value in values:
        chance.choice(pieces).record([value])
    chance.shuffle(pieces)
    whole = Histogram()
    for piece in pieces:
        whole.add(piece)
    expected = Histogram.of(values)
    assert whole == expected
    assert (whole.encode(), whole.pack()) == (expected.encode(), expected.pack())


@pytest.mark.parametrize("mine", [[], [7000, 5]])
def test_merging_leaves_the_other_as_it_was(mine: list[int]) -> None:
    made, other = Histogram.of(mine), Histogram.of([5, 9000])
    made.add(other)
    made.record([5])
    made.add(Histogram.of([9000]))
    assert other == Histogram.of([5, 9000])


def test_merged_with_itself_it_is_twice_itself() -> None:
    made = Histogram.of([5, 7000])
    made.add(made)
    assert made == Histogram.of([5, 7000, 5, 7000])


@pytest.mark.parametrize(
    ("value", "counted"),
    [
        (-1, 0),  # two clocks read one after the other
        (-HOUR, 0),
        (HOUR + 1, HOUR),
        (1 << 62, HOUR),
    ],
)
def test_a_value_out_of_range_is_counted_at_its_end_and_not_dropped(value: int, counted: int) -> None:
    made = Histogram.of([value, 5000])
    assert made == Histogram.of([counted, 5000])
    assert (made.percentile(1), made.percentile(100)) == (min(max(counted, 511), 5119), max(counted, 5000))
    assert made.encode() == theirs([counted, 5000]).encode().decode()


def test_nothing_recorded_is_nothing_found() -> None:
    empty = Histogram()
    empty.record([])
    empty.add(Histogram())
    assert (empty.count, empty.mean, empty.percentile(50), empty.buckets()) == (0, None, None, [])
    assert empty == Histogram.decode(empty.encode()) == Histogram.unpack(empty.pack())


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan"), float("inf")])
def test_a_percentile_there_is_not_is_refused(percent: float) -> None:
    for made in (Histogram(), Histogram.of([5])):
        with pytest.raises(ValueError, match="a percentile is above 0 and at most 100, not "):
            made.percentile(percent)


@given(several)
def test_packed_or_as_text_with_the_exact_figures_it_is_the_same_again(values: list[int]) -> None:
    made = Histogram.of(values)
    assert Histogram.unpack(made.pack()) == made
    read = Histogram.decode(made.encode())
    assert (read.count, read.buckets()) == (made.count, made.buckets())
    # from text alone they are those of the buckets
    assert read.min <= made.min <= made.max <= read.max
    assert read.sum == pytest.approx(made.sum, rel=0.001, abs=512 * len(values))
    read.restore(made.min, made.max, made.sum)
    assert read == made


@pytest.mark.parametrize(
    ("lowest", "highest", "digits"),
    [
        (1, HOUR, 3),
        (1, HOUR, 2),
        (1000, HOUR, 4),
        (1_000_000, 24 * HOUR, 3),
        (1000, 24 * HOUR, 3),  # our layout, and longer: an hour is our longest
    ],
)
def test_a_histogram_of_another_layout_is_read(lowest: int, highest: int, digits: int) -> None:
    values = [5 * MICROSECOND, 70 * MICROSECOND, 123_456_789, 123_456_789, 10 * SECOND, highest]
    read = Histogram.decode(theirs(values, lowest, highest, digits).encode().decode())
    assert read.count == len(values)
    assert read.percentile(50) == pytest.approx(123_456_789, rel=0.02)
    assert read.percentile(100) == pytest.approx(HOUR, rel=0.02)
    # it can be written again: the counts beyond our last bucket are in our last bucket
    assert Histogram.decode(read.encode()).buckets() == read.buckets()


SENT = [1000 * MICROSECOND] * 10_000 + [100 * SECOND]
RAW = Histogram.of(SENT)
"""HdrHistogram's own example (HistogramDataAccessTest.java): 100 s of a request each 10 ms, then a stall of 100 s."""
CORRECTED = Histogram.of(SENT + [k * 10 * MILLISECOND for k in range(1, 10_000)])
"""The same with those added that the stall kept from being sent."""


@pytest.mark.parametrize(
    ("histogram", "mean", "percentiles"),
    [
        (RAW, 10_998_900, {30: 1000, 99: 1000, 99.99: 1000, 99.999: 100_000_000, 100: 100_000_000}),
        (
            CORRECTED,
            25_000_500_000,
            {
                30: 1000,
                50: 1000,
                75: 50_000_000,
                90: 80_000_000,
                99: 98_000_000,
                99.999: 100_000_000,
                100: 100_000_000,
            },
        ),
    ],
    ids=["raw", "corrected"],
)
def test_the_figures_that_hdrhistogram_publishes(
    histogram: Histogram, mean: float, percentiles: dict[float, int]
) -> None:
    expected = [value * MICROSECOND for value in percentiles.values()]
    assert histogram.percentiles(percentiles) == pytest.approx(expected, rel=0.001)
    assert histogram.mean == pytest.approx(mean, rel=0.001)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "ü",
        "AAAA",
        Histogram.of([5000]).encode()[:-8],  # cut short
        Histogram.of([5000]).encode()[8:],  # its head lost
        "HISTFAAAACF42pNpmSzMwMDAzgABzFAa",  # a head, and half a body
    ],
)
def test_what_is_no_histogram_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not an encoded histogram: "):
        Histogram.decode(text)


def test_how_many_values_lie_below_one() -> None:
    made = Histogram.of([10 * MICROSECOND] * 3 + [20 * MICROSECOND] * 2 + [SECOND])
    found = [made.below(value) for value in (0, 5 * MICROSECOND, 15 * MICROSECOND, SECOND // 2, HOUR)]
    assert found == [0, 0, 3, 5, 6]


def bomb(size: int) -> str:
    """The text of a histogram that inflates to so many bytes of empty buckets."""
    whole = base64.b64decode(Histogram.of([5000]).encode())
    payload = zlib.decompress(whole[8:])
    inflated = payload[:4] + struct.pack(">i", size) + payload[8:40] + b"\x02" * size
    packed = zlib.compress(inflated, 9)
    return base64.b64encode(whole[:4] + struct.pack(">i", len(packed)) + packed).decode()


def test_a_text_that_inflates_to_more_than_any_histogram_is_refused_before_it_does() -> None:
    text = bomb(20_000_000)
    assert len(text) < 30_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="not an encoded histogram: "):
        Histogram.decode(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000, "inflated, it is 20 MB"


def test_a_histogram_of_more_digits_than_anybody_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="not an encoded histogram: "):
        Histogram.decode(theirs([5000], 1, HOUR, 5).encode().decode())


def test_a_histogram_with_every_bucket_full_is_read() -> None:
    full = HdrHistogram(1000, HOUR, 3)
    for index in range(2, full.counts_len):
        full.record_value(full.get_value_from_index(index), 2**40 + index)
    assert Histogram.decode(full.encode().decode()).count == full.total_count


def test_memory_does_not_grow_with_different_values() -> None:
    made, step = Histogram(), HIGHEST // 25_000
    made.record(range(0, HIGHEST, step))
    tracemalloc.start()
    for start in range(4):
        made.record(range(start * step // 4 + 600, HIGHEST, 5 * step))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.count == 25_000 + 4 * 5_000
    assert grown < 300_000, "what is held is bounded by the buckets there are, not by the values"


def test_it_has_no_hash_for_it_changes() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Histogram())
    assert Histogram() != "a histogram"
    assert repr(Histogram.of([3, 5])) == "Histogram(count=2, min=3, max=5)"
