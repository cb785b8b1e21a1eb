"""The body of one reply on its way to the disk: decoded as it comes, counted, hashed, never whole in memory.

Small bodies are written when the reply is complete, in one go; larger ones as they come.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from loadkit.jobs.fetch.folder import Shelf, write_all
from loadkit.jobs.fetch.names import Place
from loadkit.plan.units import show_size
from loadkit.wire.base import BrokenExchange, Clock, Failure
from loadkit.wire.reply import GZIP, MAX_CODINGS, RAW, ZLIB

SPILL: Final = 256 * 1024
"""Bytes of a body that are held before a file is opened for it."""
PIECE: Final = 256 * 1024
BLOCK: Final = 8 * 1024
SKIPPED: Final = 64 * 1024
"""Bytes read of a body that nobody wants, so that the connection can be used again."""
IN_MEMORY: Final = 64_000_000
"""Of a body that is to become a line."""
BOMB: Final = 64_000_000
MOST_TIMES: Final = 250
"""How many times its encoded size a body beyond `BOMB` may have: real ones stay far below, a bomb has 1,000."""
SLOWEST: Final = 1_000_000
"""Nanoseconds a byte may take on average beyond the timeout: 1 kB/s."""


class Use(Enum):
    """What is to become of a body."""

    FILE = "a file"
    LINE = "a line of the file that replies are appended to"
    SKIP = "nothing"


Choose = Callable[[int, dict[bytes, bytes]], tuple[Use, Place | None]]
"""What is to become of a reply's body, told by its status and headers, and where its file goes."""


class Saved(NamedTuple):
    """A body that has been taken in: how long it is, its SHA-256, and the bytes if it is to be a line."""

    size: int
    sha256: str
    content: bytes


class Body:
    """A sink for one exchange; see `wire.base.Sink`."""

    __slots__ = (
        "_bound",
        "_choose",
        "_clock",
        "_coding",
        "_decoders",
        "_handle",
        "_hash",
        "_held",
        "_holding",
        "_raw",
        "_received",
        "_shelf",
        "_tag",
        "came",
        "disk",
        "fault",
        "had_enough",
        "headers",
        "place",
        "size",
        "status",
        "use",
    )

    def __init__(self, choose: Choose, shelf: Shelf, clock: Clock, *, bound: int, raw: bool, tag: str = "") -> None:
        self._choose = choose
        self._shelf = shelf
        self._clock = clock
        self._bound = bound
        self._raw = raw
        self._tag = tag
        self._decoders: list[_Decoder] = []
        self._handle = -1
        self._hash: hashlib._Hash | None = None
        self._held: list[bytes | memoryview] = []
        self._holding = 0
        self._received = 0
        self._coding = ""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.use = Use.SKIP
        self.place: Place | None = None
        self.size = 0
        self.disk = 0
        """Nanoseconds spent on the disk."""
        self.came = False
        """Whether there was a reply at all."""
        self.had_enough = False
        """The exchange was ended by us, for the rest of the body is of no use; the head is all there is to know."""
        self.fault: OSError | None = None
        """What the disk said."""

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head has come."""
        self.came = True
        self.status = status
        found = self.headers = dict(headers)
        if len(found) != len(headers) and b"content-encoding" in found:
            found[b"content-encoding"] = b", ".join(value for name, value in headers if name == b"content-encoding")
        self.use, self.place = self._choose(status, found)
        if self.use is not Use.SKIP and not self._raw and b"content-encoding" in found:
            self._decoders = _decoders(found[b"content-encoding"])

    def write(self, data: bytes | memoryview) -> int:
        """The next piece as it came."""
        self._received += len(data)
        if self.use is Use.SKIP:
            if self._received > SKIPPED:
                self.had_enough = True
                raise BrokenExchange(Failure("check", "the rest of the body is not wanted"))
        elif self._decoders:
            for piece in self._decoded(data, len(self._decoders)):
                self._take(piece)
        else:
            self._take(data)
        return len(data) * SLOWEST

    def finish(self) -> Saved:
        """The reply is whole: bring the rest to the disk; raises `BrokenExchange`, and `OSError` for the disk."""
        for decoder in self._decoders:
            if self._received and not decoder.is_done:
                raise BrokenExchange(Failure("disconnect", f"the {decoder.coding} body is cut short"))
        if self.use is Use.LINE:
            content = b"".join(self._held)
            return Saved(self.size, "", content)
        if self._hash is None:
            return Saved(self.size, self._saved_at_once(), b"")
        content = b"".join(self._held)
        self._hash.update(content)
        began = self._clock.now()
        try:
            write_all(self._handle, content)
        finally:
            self._close()
            self.disk += self._clock.now() - began
        return Saved(self.size, self._hash.hexdigest(), b"")

    def _saved_at_once(self) -> str:
        """Bring a body to the disk of which nothing is there yet; its hash."""
        assert self.place is not None
        content = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        digest = hashlib.sha256(content).hexdigest()
        began = self._clock.now()
        try:
            self._shelf.fill(self.place, self._tag, content)
        finally:
            self.disk += self._clock.now() - began
        return digest

    def drop(self) -> None:
        """Forget it, the part on the disk included."""
        self._held.clear()
        if self._handle >= 0:
            self._close()
        if self.place is not None and self.use is Use.FILE:
            self._shelf.drop(self.place, self._tag)

    def _take(self, piece: bytes | memoryview) -> None:
        self.size += len(piece)
        if self.size > self._bound:
            raise BrokenExchange(Failure("check", f"the body is more than {show_size(self._bound)} (--max-size)"))
        self._held.append(piece)
        self._holding += len(piece)
        if self.use is Use.LINE:
            if self.size > IN_MEMORY:
                raise BrokenExchange(Failure("check", f"more than {show_size(IN_MEMORY)} are too much for a line"))
        elif self._holding > SPILL:
            self._spill()

    def _spill(self) -> None:
        """Bring to the disk what is held. What that meets ends the exchange, and is kept in `fault`."""
        content = b"".join(self._held)
        self._held, self._holding = [], 0
        if self._hash is None:
            self._hash = hashlib.sha256()
        self._hash.update(content)
        began = self._clock.now()
        try:
            if self._handle < 0:
                self._open()
            write_all(self._handle, content)
        except OSError as error:
            self.fault = error
            raise BrokenExchange(Failure("check", f"cannot save the body: {error.strerror}")) from None
        finally:
            self.disk += self._clock.now() - began

    def _open(self) -> None:
        assert self.place is not None
        self._handle = self._shelf.create(self.place, self._tag)

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _decoded(self, data: bytes | memoryview, depth: int) -> Iterator[bytes | memoryview]:
        """Through the decoders, the last applied coding first."""
        if not depth:
            yield data
            return
        for piece in self._decoders[depth - 1].feed(data):
            if depth == 1 and self.size + len(piece) > max(BOMB, MOST_TIMES * self._received):
                growth = f"{show_size(self._received)} became more than {show_size(self.size)} decoded"
                raise BrokenExchange(Failure("check", f"{growth}, which looks like a bomb; --raw saves it as it comes"))
            yield from self._decoded(piece, depth - 1)


def _decoders(value: bytes) -> list[_Decoder]:
    codings = [coding.strip().lower() for coding in value.decode("latin-1").split(",")]
    wanted = [coding for coding in codings if coding not in ("", "identity")]
    if len(wanted) > MAX_CODINGS:
        raise BrokenExchange(Failure("protocol", f"{len(wanted)} content codings on one body"))
    for coding in wanted:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise BrokenExchange(Failure("protocol", f"the content coding {coding[:40]!r} was not asked for"))
    return [_Decoder(coding) for coding in wanted]


class _Decoder:
    """gzip (any number of members, zeros behind them) or deflate (zlib's format, or the raw one some servers send)."""

    __slots__ = ("_begun", "_inflater", "coding")

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self._begun = b""
        self._inflater: zlib._Decompress | None = None if coding == "deflate" else zlib.decompressobj(GZIP)

    @property
    def is_done(self) -> bool:
        return self._inflater is not None and self._inflater.eof

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        if self._inflater is None:
            self._begun += bytes(data)
            if len(self._begun) < 2:
                return
            first, second = self._begun[:2]
            is_zlib = first & 15 == 8 and (first * 256 + second) % 31 == 0
            self._inflater, data = zlib.decompressobj(ZLIB if is_zlib else RAW), self._begun
        # in blocks, for zlib copies what is behind the end of a member, and gzip allows any number of them
        for start in range(0, len(data), BLOCK):
            yield from self._inflated(bytes(data[start : start + BLOCK]))

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        assert self._inflater is not None
        has_more = False
        while data or has_more:
            if self._inflater.eof:
                data, has_more = self._next_member(data), False
                continue
            try:
                piece = self._inflater.decompress(data, PIECE)
            except zlib.error as error:
                raise BrokenExchange(Failure("protocol", f"the {self.coding} body does not decode: {error}")) from None
            yield piece
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            # zlib may have taken all of the input and still hold output
            has_more = len(piece) == PIECE

    def _next_member(self, data: bytes) -> bytes:
        """What comes behind the end of a member: zeros, or another one."""
        rest = data.lstrip(b"\0")
        if rest and self.coding == "deflate":
            raise BrokenExchange(Failure("protocol", "the deflate body goes on after its end"))
        if rest:
            self._inflater = zlib.decompressobj(GZIP)
        return rest
