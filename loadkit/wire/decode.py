"""Bodies decoded piece by piece as they come: gzip and deflate, one over the other, and never without a bound."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from loadkit.plan.units import show_size

GZIP, ZLIB, RAW = 31, 15, -15
"""What zlib calls a window, which includes the format."""
MAGIC: Final = b"\x1f\x8b\x08"
"""How each member of a gzip body begins."""

MAX_CODINGS: Final = 2
MAX_TIMES: Final = 250
"""How many times the size received any layer may reach beyond `FREE`: real bodies stay far below, a bomb has 1,000."""
FREE: Final = 64_000_000
"""Bytes that any body may become."""
MEMBER: Final = 100
"""Bytes received for each member of a gzip body beyond `FREE_MEMBERS`; an empty one has 20, and costs as much CPU."""
FREE_MEMBERS: Final = 1_000
PIECE: Final = 256 * 1024
BLOCK: Final = 8 * 1024


class DecodeError(ValueError):
    """A body that cannot be decoded; the message is a sentence about it."""


class CutShort(DecodeError):
    """The body ended before its coding did."""


class TooMuch(DecodeError):
    """The body became far more than it was when it came."""


def codings_of(value: str) -> list[str]:
    """The codings that a Content-Encoding header names, in the order in which they were applied.

    Raises `DecodeError` for one that is not decoded here, and for more than two.

    >>> codings_of("identity, gzip")
    ['gzip']
    """
    codings = [coding.strip().lower() for coding in value.split(",")]
    wanted = [coding for coding in codings if coding not in ("", "identity")]
    if len(wanted) > MAX_CODINGS:
        raise DecodeError(f"{len(wanted)} content codings on one body")
    for coding in wanted:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise DecodeError(f"the content coding {coding[:40]!r} was not asked for")
    return wanted


class Decoder:
    """Decodes one body through all of its codings.

    `step` is called before each piece that any of them makes, and may raise: a deadline, or a stop that is asked for.
    Each layer is bounded by what was received, not by what the layer below it made of that; the last one only if
    `is_bounded`, for whoever bounds what comes out himself. With `lenient` what is behind the end of a body and is no
    gzip member is dropped, as browsers do.
    """

    def __init__(
        self,
        codings: list[str],
        *,
        step: Callable[[], object] = lambda: None,
        free: int = FREE,
        times: int = MAX_TIMES,
        is_bounded: bool = True,
        lenient: bool = False,
    ) -> None:
        self._layers = [_Layer(coding, lenient=lenient) for coding in reversed(codings)]
        self._is_bounded = is_bounded
        self._step = step
        self._free = free
        self._times = times
        self._received = 0

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Decode what came; raises `DecodeError`."""
        self._received += len(data)
        return self._through(0, data)

    def finish(self) -> None:
        """Say that nothing more comes; raises `CutShort` if a coding is not at its end."""
        for layer in self._layers:
            if self._received and not layer.is_done:
                raise CutShort(f"the {layer.coding} body is cut short")

    def _through(self, number: int, data: bytes | memoryview) -> Iterator[bytes]:
        layer = self._layers[number]
        is_last = number == len(self._layers) - 1
        for piece in layer.feed(data, self._step):
            self._check(layer, is_free=is_last and not self._is_bounded)
            if is_last:
                yield piece
            elif piece:
                yield from self._through(number + 1, piece)

    def _check(self, layer: _Layer, *, is_free: bool) -> None:
        if not is_free and layer.size > max(self._free, self._times * self._received):
            grown = f"{show_size(self._received)} became more than {show_size(layer.size)} decoded"
            raise TooMuch(f"{grown}, which looks like a bomb")
        if layer.members > FREE_MEMBERS + self._received // MEMBER:
            raise TooMuch(f"{layer.members:,} gzip members in {show_size(self._received)}, which looks like a bomb")


class _Layer:
    """gzip (any number of members, zeros behind them) or deflate (zlib's format, or the raw one some servers send)."""

    __slots__ = ("_begun", "_inflater", "_is_over", "_lenient", "coding", "members", "size")

    def __init__(self, coding: str, *, lenient: bool) -> None:
        self._lenient = lenient
        self._is_over = False
        """What comes now is none of it."""
        self.coding = coding
        self.size = 0
        self.members = 1
        self._begun = b""
        """The first bytes, of deflate or of a later member, until they tell what it is."""
        self._inflater: zlib._Decompress | None = None if coding == "deflate" else zlib.decompressobj(GZIP)

    @property
    def is_done(self) -> bool:
        return self._inflater is not None and self._inflater.eof

    def feed(self, data: bytes | memoryview, step: Callable[[], object]) -> Iterator[bytes]:
        if self._inflater is None:
            self._begun += bytes(data)
            if len(self._begun) < 2:
                return
            first, second = self._begun[:2]
            is_zlib = first & 15 == 8 and (first * 256 + second) % 31 == 0
            self._inflater, data, self._begun = zlib.decompressobj(ZLIB if is_zlib else RAW), self._begun, b""
        # in blocks, for zlib copies what is behind the end of a member, and gzip allows any number of them
        for start in range(0, len(data), BLOCK):
            step()
            yield from self._inflated(bytes(data[start : start + BLOCK]), step)

    def _inflated(self, data: bytes, step: Callable[[], object]) -> Iterator[bytes]:
        assert self._inflater is not None
        has_more = False
        while (data or has_more) and not self._is_over:
            if self._inflater.eof:
                data, has_more = self._next_member(data), False
                continue
            step()
            try:
                piece = self._inflater.decompress(data, PIECE)
            except zlib.error as error:
                raise DecodeError(f"the {self.coding} body does not decode: {error}") from None
            self.size += len(piece)
            yield piece
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            # zlib may have taken all of the input and still hold output
            has_more = len(piece) == PIECE

    def _next_member(self, data: bytes) -> bytes:
        """What comes behind the end of a member: zeros, or another one."""
        rest = self._begun + data if self._begun else data.lstrip(b"\0")
        if self._lenient and not rest.startswith(MAGIC):
            # a few bytes may be the first of another member, split
            is_open = self.coding != "deflate" and MAGIC.startswith(rest)
            self._begun, self._is_over = rest if is_open else b"", not is_open
            return b""
        self._begun = b""
        if rest and self.coding == "deflate":
            raise DecodeError("the deflate body goes on after its end")
        if rest:
            self._inflater = zlib.decompressobj(GZIP)
            self.members += 1
        return rest
