"""The body of one reply on its way to the disk: decoded as it arrives, counted and hashed, never whole in memory.

Small bodies are written when the reply is complete, in one call; larger ones as they arrive.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from typing import Final, NamedTuple

from loadkit.fetcher.folder import PART, OutputFolder, write_all
from loadkit.fetcher.retry import UNDECIDED, Decision, Disposition
from loadkit.fetcher.task import Task
from loadkit.plan.units import SECOND, show_size
from loadkit.wire.base import BrokenExchange, Clock, Failure
from loadkit.wire.decode import CutShort, DecodeError, Decoder, TooMuch, codings_of

LARGEST_IN_MEMORY: Final = 256 * 1024
"""Bytes of a body that are held before a file is opened for it."""
LARGEST_SKIPPED: Final = 64 * 1024
"""Bytes of a body nobody wants that are read all the same, so that the connection can be used again."""
LONGEST_LINE: Final = 64_000_000
"""Bytes of a body that is to become a line: one such body at a time is in memory, several times over."""
SLOWEST: Final = 1_000_000
"""Nanoseconds a byte may take on average beyond the timeout: 1 kB/s."""


class BodySettings(NamedTuple):
    """What holds for the bodies of all replies to one worker."""

    output: OutputFolder
    has_template: bool
    """True if names are from a template of the user, and need not be unique."""
    clock: Clock
    largest: int
    """Bytes, decoded."""
    raw: bool
    """True if bodies are saved as they arrive, not decoded."""
    timeout: int
    """Nanoseconds that decoding what arrived at once may take."""
    decide: Callable[[Task, int, dict[bytes, bytes]], Decision]
    """Decides on a reply by its status and headers."""
    is_cutting: Callable[[], bool]
    """True while exchanges in progress are being ended."""


class Body:
    """A sink for one exchange; see `wire.base.Sink`."""

    __slots__ = (
        "_decoder",
        "_handle",
        "_hash",
        "_held",
        "_held_size",
        "_settings",
        "_since",
        "_task",
        "decision",
        "disk_error",
        "disk_time",
        "headers",
        "is_abandoned",
        "output",
        "size",
    )

    def __init__(self, task: Task, settings: BodySettings) -> None:
        self.output = settings.output
        self._task = task
        self._settings = settings
        self._decoder: Decoder | None = None
        self._since = 0
        """When decoding what arrived last began, less the time on the disk until then."""
        self._handle = -1
        """The file of a body that is too large to be held in memory."""
        self._hash: hashlib._Hash | None = None
        self._held: list[bytes | memoryview] = []
        self._held_size = 0
        self.decision = UNDECIDED
        self.headers: dict[bytes, bytes] | None = None
        """Of the reply, if its head has arrived."""
        self.size = 0
        """Bytes, decoded; of a body that is skipped, as they arrive."""
        self.disk_time = 0
        """Nanoseconds spent on the disk."""
        self.is_abandoned = False
        """True if this side ended the exchange, for the rest of the body is not wanted; the head was complete."""
        self.disk_error: OSError | None = None

    @property
    def part(self) -> str:
        """The path of the file until it is complete."""
        if not self._settings.has_template:
            return f"{self.decision.path}{PART}"
        request = self._task.request
        return f"{self.decision.path}.{request.position}-{request.key:016x}{PART}"

    @property
    def is_large(self) -> bool:
        """True if it is not held in memory."""
        return self._handle >= 0

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Decide on the reply; its head has arrived."""
        found = self.headers = dict(headers)
        if len(found) != len(headers) and b"content-encoding" in found:
            found[b"content-encoding"] = b", ".join(value for name, value in headers if name == b"content-encoding")
        decision = self.decision = self._settings.decide(self._task, status, found)
        if decision.path is not None and not self._settings.raw and b"content-encoding" in found:
            self._decoder = self._decoder_of(found[b"content-encoding"])

    def _decoder_of(self, value: bytes) -> Decoder | None:
        try:
            codings = codings_of(value.decode("latin-1"))
        except DecodeError as error:
            raise BrokenExchange(Failure("protocol", str(error))) from None
        return Decoder(codings, step=self._step) if codings else None

    def write(self, data: bytes | memoryview) -> int:
        """Take the next piece, still encoded; how many nanoseconds more the exchange may take for it."""
        if self.decision.path is None:
            self._skip(data)
        elif self._decoder:
            self._decode(data, self._decoder)
        else:
            self._take(data)
        return len(data) * SLOWEST

    def save(self) -> str:
        """Write the rest to the part file, for the reply is complete; its SHA-256.

        Raises `BrokenExchange` if the body is cut short, and `OSError` for the disk.
        """
        self._end_decoding()
        assert self.decision.path is not None
        content = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        if not self.is_large:
            self.output.write(self.part, content)
            return hashlib.sha256(content).hexdigest()
        assert self._hash
        try:
            self._append(content)
            return self._hash.hexdigest()
        finally:
            self._close()

    def content(self) -> bytes | mmap:
        """All of it, for the reply is complete; a large body is mapped, not read. Raises as `save` does."""
        self._end_decoding()
        content = b"".join(self._held)
        if not self.is_large:
            return content
        try:
            self._append(content)
            return mmap(self._handle, 0, access=ACCESS_READ)
        finally:
            self._close()

    def discard(self) -> None:
        """Forget it, and remove what is on the disk of it."""
        self._held.clear()
        self._close()
        if self.decision.path is not None and self.decision.disposition is not Disposition.APPEND:
            self.output.remove(self.part)

    def _end_decoding(self) -> None:
        if self._decoder:
            try:
                self._decoder.finish()
            except CutShort as error:
                raise BrokenExchange(Failure("disconnect", str(error))) from None

    def _skip(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        if self.size > LARGEST_SKIPPED:
            self.is_abandoned = True
            raise BrokenExchange(Failure("check", "the rest of the body is not wanted"))

    def _take(self, piece: bytes | memoryview) -> None:
        self.size += len(piece)
        if self.size > self._settings.largest:
            limit = show_size(self._settings.largest)
            raise BrokenExchange(Failure("check", f"the body is more than {limit} (--max-size)"))
        self._held.append(piece)
        self._held_size += len(piece)
        if self.decision.disposition is Disposition.APPEND and self.size > LONGEST_LINE:
            raise BrokenExchange(Failure("check", f"more than {show_size(LONGEST_LINE)} are too much for a line"))
        if self._held_size > LARGEST_IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        """Write what is held; an error of the disk ends the exchange, and is kept in `disk_error`."""
        content = b"".join(self._held)
        self._held, self._held_size = [], 0
        began = self._settings.clock.now()
        try:
            if not self.is_large:
                self._create()
            self._append(content)
        except OSError as error:
            self.disk_error = error
            raise BrokenExchange(Failure("check", f"cannot save the body: {error.strerror}")) from None
        finally:
            self.disk_time += self._settings.clock.now() - began

    def _create(self) -> None:
        path, output = self.decision.path, self._settings.output
        assert path is not None
        if self.decision.disposition is not Disposition.APPEND:
            self._handle, self._hash = output.create(self.part), hashlib.sha256()
        else:
            self._handle = output.create_unnamed(self.part)

    def _append(self, content: bytes | memoryview) -> None:
        if self._hash:
            self._hash.update(content)
        write_all(self._handle, content)

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _decode(self, data: bytes | memoryview, decoder: Decoder) -> None:
        self._since = self._settings.clock.now() - self.disk_time
        try:
            for piece in decoder.feed(data):
                self._take(piece)
        except TooMuch as error:
            raise BrokenExchange(Failure("check", f"{error}; --raw saves it as it comes")) from None
        except DecodeError as error:
            raise BrokenExchange(Failure("protocol", str(error))) from None

    def _step(self) -> None:
        """End the exchange if the fetch is being ended, or if decoding takes too long without the disk."""
        if self._settings.is_cutting():
            raise BrokenExchange(Failure("disconnect", "the fetch was ended"))
        timeout = self._settings.timeout
        if self._settings.clock.now() - self.disk_time - self._since > timeout:
            raise BrokenExchange(Failure("timeout", f"not decoded within {timeout / SECOND:g} s"))
