"""The body of one reply on its way to the disk: decoded as it comes, counted, hashed, never whole in memory.

Small bodies are written when the reply is complete, in one go; larger ones as they come.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from enum import Enum
from mmap import ACCESS_READ, mmap
from typing import Final, NamedTuple

from loadkit.fetcher.filenames import FilePath
from loadkit.fetcher.folder import OutputFolder, write_all
from loadkit.plan.units import SECOND, show_size
from loadkit.wire.base import BrokenExchange, Clock, Failure
from loadkit.wire.decode import CutShort, DecodeError, Decoder, TooMuch, codings_of

SPILL: Final = 256 * 1024
"""Bytes of a body that are held before a file is opened for it."""
SKIPPED: Final = 64 * 1024
"""Bytes read of a body that nobody wants, so that the connection can be used again."""
LONGEST_LINE: Final = 64_000_000
"""Bytes of a body that is to become a line: one such body at a time is in memory, several times over."""
SLOWEST: Final = 1_000_000
"""Nanoseconds a byte may take on average beyond the timeout: 1 kB/s."""


class BodyUse(Enum):
    """What is to become of a body."""

    FILE = "a file"
    LINE = "a line of the file that replies are appended to"
    SKIP = "nothing"


Choose = Callable[[int, dict[bytes, bytes]], tuple[BodyUse, FilePath | None]]
"""What is to become of a reply's body, told by its status and headers, and where its file goes."""


class Saved(NamedTuple):
    """A body that has been taken in: how long it is, its SHA-256, and the bytes if it is to be a line."""

    size: int
    sha256: str
    content: bytes | mmap


class Body:
    """A sink for one exchange; see `wire.base.Sink`. Decoding a piece of it may take `timeout` nanoseconds."""

    __slots__ = (
        "_bound",
        "_choose",
        "_clock",
        "_decoder",
        "_handle",
        "_hash",
        "_held",
        "_holding",
        "_is_cutting",
        "_output",
        "_raw",
        "_received",
        "_since",
        "_tag",
        "_timeout",
        "came",
        "disk",
        "fault",
        "headers",
        "is_abandoned",
        "place",
        "size",
        "status",
        "use",
    )

    def __init__(
        self,
        choose: Choose,
        output: OutputFolder,
        clock: Clock,
        *,
        bound: int,
        raw: bool,
        timeout: int,
        is_cutting: Callable[[], bool],
        tag: str = "",
    ) -> None:
        self._choose = choose
        self._output = output
        self._clock = clock
        self._bound = bound
        self._raw = raw
        self._tag = tag
        self._timeout = timeout
        self._is_cutting = is_cutting
        self._decoder: Decoder | None = None
        self._since = 0
        self._handle = -1
        self._hash: hashlib._Hash | None = None
        self._held: list[bytes | memoryview] = []
        self._holding = 0
        self._received = 0
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.use = BodyUse.SKIP
        self.place: FilePath | None = None
        self.size = 0
        self.disk = 0
        """Nanoseconds spent on the disk."""
        self.came = False
        """Whether there was a reply at all."""
        self.is_abandoned = False
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
        if self.use is not BodyUse.SKIP and not self._raw and b"content-encoding" in found:
            self._decoder = self._decoder_of(found[b"content-encoding"])

    def _decoder_of(self, value: bytes) -> Decoder | None:
        try:
            codings = codings_of(value.decode("latin-1"))
        except DecodeError as error:
            raise BrokenExchange(Failure("protocol", str(error))) from None
        return Decoder(codings, step=self._step) if codings else None

    def write(self, data: bytes | memoryview) -> int:
        """The next piece as it came."""
        self._received += len(data)
        if self.use is BodyUse.SKIP:
            if self._received > SKIPPED:
                self.is_abandoned = True
                raise BrokenExchange(Failure("check", "the rest of the body is not wanted"))
        elif self._decoder:
            self._decoded(data, self._decoder)
        else:
            self._take(data)
        return len(data) * SLOWEST

    def finish(self) -> Saved:
        """The reply is whole: bring the rest to the disk; raises `BrokenExchange`, and `OSError` for the disk."""
        if self._decoder:
            try:
                self._decoder.finish()
            except CutShort as error:
                raise BrokenExchange(Failure("disconnect", str(error))) from None
        if self.use is BodyUse.LINE:
            return Saved(self.size, "", self._read_again())
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

    @property
    def is_large(self) -> bool:
        """Whether it is not held in memory."""
        return self._handle >= 0

    def _read_again(self) -> bytes | mmap:
        """All of what is to be a line; a large one as it lies on the disk."""
        if not self.is_large:
            return b"".join(self._held)
        try:
            write_all(self._handle, b"".join(self._held))
            return mmap(self._handle, 0, access=ACCESS_READ)
        finally:
            self._close()

    def _saved_at_once(self) -> str:
        """Bring a body to the disk of which nothing is there yet; its hash."""
        assert self.place is not None
        content = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        digest = hashlib.sha256(content).hexdigest()
        began = self._clock.now()
        try:
            self._output.fill(self.place, self._tag, content)
        finally:
            self.disk += self._clock.now() - began
        return digest

    def drop(self) -> None:
        """Forget it, the part on the disk included."""
        self._held.clear()
        if self._handle >= 0:
            self._close()
        if self.place is not None and self.use is BodyUse.FILE:
            self._output.drop(self.place, self._tag)

    def _take(self, piece: bytes | memoryview) -> None:
        self.size += len(piece)
        if self.size > self._bound:
            raise BrokenExchange(Failure("check", f"the body is more than {show_size(self._bound)} (--max-size)"))
        self._held.append(piece)
        self._holding += len(piece)
        if self.use is BodyUse.LINE and self.size > LONGEST_LINE:
            raise BrokenExchange(Failure("check", f"more than {show_size(LONGEST_LINE)} are too much for a line"))
        if self._holding > SPILL:
            self._spill()

    def _spill(self) -> None:
        """Bring to the disk what is held. What that meets ends the exchange, and is kept in `fault`."""
        content = b"".join(self._held)
        self._held, self._holding = [], 0
        if self._hash is None and self.use is BodyUse.FILE:
            self._hash = hashlib.sha256()
        if self._hash:
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
        is_file = self.use is BodyUse.FILE
        self._handle = self._output.create(self.place, self._tag) if is_file else self._output.scratch(self.place)

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _decoded(self, data: bytes | memoryview, decoder: Decoder) -> None:
        self._since = self._clock.now() - self.disk
        try:
            for piece in decoder.feed(data):
                self._take(piece)
        except TooMuch as error:
            raise BrokenExchange(Failure("check", f"{error}; --raw saves it as it comes")) from None
        except DecodeError as error:
            raise BrokenExchange(Failure("protocol", str(error))) from None

    def _step(self) -> None:
        """Go on decoding, unless the fetch is being ended, or what came at once took too long without the disk."""
        if self._is_cutting():
            raise BrokenExchange(Failure("disconnect", "the fetch was ended"))
        if self._clock.now() - self.disk - self._since > self._timeout:
            raise BrokenExchange(Failure("timeout", f"not decoded within {self._timeout / SECOND:g} s"))
