"""Counts of how long things took: HdrHistogram's buckets, 1 us to 1 h, three digits, with exact min, max and sum.

The buckets are kept sparse, for there are many histograms (an endpoint has five, and each second of the
series has its own) and each uses a few hundred of the 23,552 buckets. hdrhistogram encodes and decodes; its surprises
end here: values out of range are clamped, not dropped; percentiles round their rank up and never leave [min, max].

Bucket k holds the values v with k = units(v) below 2048, and above it the top eleven bits of the units; a unit is
512 ns, the power of two below 1 us. See Gil Tene, HdrHistogram (`getBucketIndex`, `getSubBucketIndex`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from itertools import accumulate, compress
from typing import Any

LOWEST = 1_000
HIGHEST = 3_600 * 1_000_000_000
DIGITS = 3

LARGEST = 1 << 20
"""Bytes of an encoded histogram before it is compressed: each of our 23,552 buckets takes nine at most."""
MOST_DIGITS = 4
"""Five take 50 MB each."""
_HEAD = 8

UNIT_SHIFT = 9
_SUB_BUCKETS = 2048
_HALF = 1024
# different times held before they are sorted into buckets: bounds memory
MAX_FRESH = 4096
_TOP_UNIT = HIGHEST >> UNIT_SHIFT


class Histogram:
    """How often which time was measured, in nanoseconds. One writer; `add` merges exactly, in any order."""

    __slots__ = ("_counts", "_fresh", "count", "max", "min", "sum")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._fresh: Counter[int] = Counter()
        self.count = 0
        self.sum = 0
        self.min = 0
        self.max = 0

    @classmethod
    def of(cls, values: Sequence[int]) -> Histogram:
        """A histogram of these values, nanoseconds."""
        made = cls()
        made.record(values)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._state() == other._state()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, min={self.min}, max={self.max})"

    def _state(self) -> tuple[object, ...]:
        return self.count, self.sum, self.min, self.max, self._fold_fresh()

    def record(self, values: Sequence[int]) -> None:
        """Count values, nanoseconds; negative ones count as 0, and more than an hour as an hour."""
        if not values:
            return
        least, most = min(values), max(values)
        if least < 0 or most > HIGHEST:
            values = [min(max(value, 0), HIGHEST) for value in values]
            least, most = min(values), max(values)
        self._widen(least, most, len(values))
        self.sum += sum(values)
        # counted in C first, 45 ns a value; the buckets take 100 ns, but once for each different value
        self._fresh.update([value >> UNIT_SHIFT for value in values])
        if len(self._fresh) > MAX_FRESH:
            self._fold_fresh()

    @property
    def counts(self) -> dict[int, int]:
        """How often which bucket was met, for the extension to add to; then `note` what it has added."""
        return self._counts

    def note(self, count: int, total: int, least: int, most: int) -> None:
        """So many values were added to `counts`."""
        self._widen(least, most, count)
        self.sum += total

    def _fold_fresh(self) -> dict[int, int]:
        """The counts by bucket, with nothing left to be sorted into them."""
        counts = self._counts
        if self._fresh:
            for unit, count in self._fresh.items():
                bucket = unit if unit < _SUB_BUCKETS else _bucket(unit)
                counts[bucket] = counts.get(bucket, 0) + count
            self._fresh.clear()
        return counts

    def add(self, other: Histogram) -> None:
        """Merge another one into this."""
        if not other.count:
            return
        is_first = not self.count
        self._widen(other.min, other.max, other.count)
        self.sum += other.sum
        if is_first:
            # a copy, in a tenth of the time
            self._counts = dict(other._fold_fresh())
            return
        counts = self._fold_fresh()
        for bucket, count in other._fold_fresh().items():
            counts[bucket] = counts.get(bucket, 0) + count

    def _widen(self, least: int, most: int, count: int) -> None:
        self.min = min(self.min, least) if self.count else least
        self.max = max(self.max, most) if self.count else most
        self.count += count

    @property
    def mean(self) -> float | None:
        """Nanoseconds, exact; None when empty."""
        return self.sum / self.count if self.count else None

    def percentile(self, percent: float) -> int | None:
        """The smallest recorded value (a bucket's top, nanoseconds) that `percent` of all are not above.

        The rank is rounded up, as in the Java original. None when empty; `ValueError` outside of (0, 100].
        """
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Iterable[float]) -> list[int | None]:
        """Several percentiles in one pass over the buckets."""
        ranks = [self._rank(percent) for percent in percents]
        if not self.count:
            return [None] * len(ranks)
        counts = self._fold_fresh()
        buckets = sorted(counts)
        reached = [*accumulate(map(counts.__getitem__, buckets))]
        tops = [_span(buckets[bisect_left(reached, rank)])[1] for rank in ranks]
        return [min(max(top, self.min), self.max) for top in tops]

    def _rank(self, percent: float) -> int:
        if not 0 < percent <= 100:
            raise ValueError(f"a percentile is above 0 and at most 100, not {percent!r}")
        over, under = _ratio(percent)
        return -(-over * self.count // under)

    def below(self, value: int) -> int:
        """How many values lie in buckets that begin below one, nanoseconds."""
        counts = self._fold_fresh()
        return sum(count for bucket, count in counts.items() if _span(bucket)[0] < value)

    def buckets(self) -> list[tuple[int, int, int]]:
        """`(lowest, highest, count)` of the buckets in use, in order; nanoseconds, both ends included."""
        return [(*_span(bucket), count) for bucket, count in sorted(self._fold_fresh().items())]

    # -- encoding

    def encode(self) -> str:
        """The standard compressed HdrHistogram text (V2, base64), values in nanoseconds."""
        from hdrh.histogram import HdrHistogram

        made = HdrHistogram(LOWEST, HIGHEST, DIGITS)
        counts = self._fold_fresh()
        for bucket, count in counts.items():
            made.counts[bucket] = count
        made.total_count = self.count
        if counts:
            made.max_value = _span(max(counts))[1]
        text = str(made.encode().decode("ascii"))
        _untie(made)
        return text

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Read what `encode` of this or of any HdrHistogram wrote; `ValueError` if it is none.

        Exact figures are not part of the text: min, max and sum are those of the buckets until `restore`.
        """
        from hdrh.histogram import HdrHistogram

        try:
            _check_size(text)
            read = HdrHistogram.decode(text)
        except Exception as error:  # the library raises six kinds, from struct to zlib
            raise ValueError(f"not an encoded histogram: {text[:40]!r}") from error
        made = cls()
        same = (read.unit_magnitude, read.sub_bucket_count) == (UNIT_SHIFT, _SUB_BUCKETS)
        for index, count in _used(read):
            bucket = min(index, _TOP) if same else _bucket(read.get_value_from_index(index) >> UNIT_SHIFT)
            made._counts[bucket] = made._counts.get(bucket, 0) + count
        _untie(read)
        made._estimate()
        return made

    def _estimate(self) -> None:
        self.count = sum(self._counts.values())
        if self._counts:
            self.min, self.max = _span(min(self._counts))[0], _span(max(self._counts))[1]
            self.sum = sum(sum(_span(bucket)) // 2 * count for bucket, count in self._counts.items())

    def restore(self, least: int, most: int, total: int) -> None:
        """Put the exact figures back that were stored beside the text."""
        if self.count:
            self.min, self.max, self.sum = least, most, total

    def pack(self) -> bytes:
        """The smallest exact form, to be kept in memory: see `unpack`."""
        flat = array("q", (self.count, self.sum, self.min, self.max))
        for bucket, count in sorted(self._fold_fresh().items()):
            flat.extend((bucket, count))
        return _squeeze(flat)

    @classmethod
    def unpack(cls, packed: bytes) -> Histogram:
        """The histogram that was packed; `ValueError` for what is none."""
        flat = _swell(packed)
        made = cls()
        made.count, made.sum, made.min, made.max = flat[:4]
        made._counts = dict(zip(flat[4::2], flat[5::2], strict=True))
        return made


def _check_size(text: str) -> None:
    """Raise `ValueError` for text that would take more memory than any histogram needs, whatever its length.

    The library inflates it to any size, and then makes room for as many buckets as its head asks for.
    """
    import base64
    import struct
    import zlib

    inflater = zlib.decompressobj()
    inflated = inflater.decompress(base64.b64decode(text)[_HEAD:], LARGEST)
    if inflater.unconsumed_tail:
        raise ValueError(f"more than {LARGEST:,} bytes")
    # cookie, length, offset, digits
    (digits,) = struct.unpack_from(">12xi", inflated)
    if digits > MOST_DIGITS:
        raise ValueError(f"{digits} digits")


def _untie(theirs: Any) -> None:
    """A histogram and its encoder hold each other: without this its 200 kB wait for the garbage collector."""
    theirs.encoder.histogram = None


def _used(read: Any) -> Iterable[tuple[int, int]]:
    """Index and count of what is not 0 in a histogram just decoded.

    All 23,552 elements of its ctypes array one by one would take 4 ms, and a merge of long runs reads thousands.
    """
    if not read.total_count:
        return ()
    first, last = (read.get_counts_array_index(value) for value in (read.min_value, read.max_value))
    counts = memoryview(read.counts).cast("B").cast("Q")[first : last + 1].tolist()
    return compress(enumerate(counts, first), counts)


@cache
def _ratio(percent: float) -> tuple[int, int]:
    """A percentage as it is written, exactly: 99.9 % of 1000 is 999, and not the 1000 that binary floats make of it."""
    share = Fraction(str(percent)) / 100
    return share.numerator, share.denominator


def _bucket(unit: int) -> int:
    unit = min(unit, _TOP_UNIT)
    shift = max(0, unit.bit_length() - 11)
    return shift * _HALF + (unit >> shift)


_TOP = _bucket(_TOP_UNIT)


def _span(bucket: int) -> tuple[int, int]:
    """The lowest and the highest value of a bucket, nanoseconds."""
    shift = max(0, bucket // _HALF - 1)
    low = (bucket - shift * _HALF) << (shift + UNIT_SHIFT)
    return low, low + (1 << (shift + UNIT_SHIFT)) - 1


def _squeeze(flat: array[int]) -> bytes:
    import zlib

    return zlib.compress(flat.tobytes(), 1)


def _swell(packed: bytes) -> array[int]:
    import zlib

    inflater, flat = zlib.decompressobj(), array("q")
    try:
        flat.frombytes(inflater.decompress(packed, LARGEST))
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if inflater.unconsumed_tail:
        raise ValueError(f"more than {LARGEST:,} bytes")
    return flat
