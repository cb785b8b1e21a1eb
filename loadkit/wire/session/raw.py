"""`Response.raw`: urllib3's own response, decoders included, over a body that our wire pulls."""

from __future__ import annotations

import re
import ssl
from collections import deque
from collections.abc import Callable, Generator, Iterator
from email.parser import Parser
from http.client import HTTPException, HTTPMessage
from typing import Final

import urllib3
from urllib3.exceptions import DecodeError

from loadkit.wire.base import BrokenExchange, Failure
from loadkit.wire.decode import DecodeError as Undecodable
from loadkit.wire.decode import Decoder, codings_of
from loadkit.wire.session.flow import Flow

PIECE: Final = 64 * 1024
OURS: Final = frozenset({"gzip", "x-gzip", "deflate"})
_BLANKS: Final = re.compile(r"[ \t]+\r\n")
VERSIONS: Final = {b"HTTP/1.0": 10, b"HTTP/1.1": 11}


def message_of(head: bytes) -> HTTPMessage:
    """The headers of a reply, read by the parser that `http.client` uses, without blanks behind their values."""
    lines = _BLANKS.sub("\r\n", head.partition(b"\r\n")[2].decode("latin-1"))
    return Parser(_class=HTTPMessage).parsestr(lines)


def reason_of(head: bytes) -> str:
    """The phrase behind the status, as `http.client` has it."""
    _, _, phrase = head.partition(b"\r\n")[0].decode("latin-1").rstrip().partition(" ")
    return phrase.partition(" ")[2].strip()


class Pull:
    """What urllib3 takes for an `http.client.HTTPResponse`: the body of one reply, read as it is asked for."""

    def __init__(
        self,
        head: bytes,
        method: str,
        *,
        body: bytes = b"",
        flow: Flow | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.msg = message_of(head)
        self._method = method
        self._flow = flow
        self._ended = ended
        self._buffer = bytearray(body)
        self._served = 0
        self._framing = 0
        self._more = flow is not None
        self._gone = not flow and not body
        if flow and flow.exchange and not flow.reader.kept:
            self._over()

    def __del__(self) -> None:
        # a stream that is not read to its end is closed, and reported
        if self._more:
            self.close()

    # -- a file

    @property
    def closed(self) -> bool:
        """True if the body was read to its end, failed or was given up."""
        return not self._more and not self._buffer

    def isclosed(self) -> bool:
        """True if it is closed; the name that `http.client` has for it."""
        return self.closed

    @property
    def fp(self) -> Pull | None:
        """Where urllib3 reads chunks; None if there was no body, or it was closed."""
        return None if self._gone else self

    def read(self, amount: int | None = None) -> bytes:
        """`amount` bytes, fewer only at the end; without an amount the rest."""
        while self._more and (amount is None or len(self._buffer) < amount):
            self._fill()
        return self._cut(len(self._buffer) if amount is None else amount)

    def read1(self, amount: int | None = None) -> bytes:
        """At most `amount` bytes that have come; waits only if there are none."""
        if self._more and not self._buffer and amount != 0:
            self._fill()
        return self._cut(len(self._buffer) if amount is None or amount < 0 else amount)

    def close(self) -> None:
        """Drop what was not read, and the connection with it."""
        if self._flow:
            self._flow.close()
        self._buffer.clear()
        self._gone = True
        self._over()

    def flush(self) -> None:
        """Nothing is written."""

    def fileno(self) -> int:
        """The socket's."""
        if not self._flow:
            raise OSError("the reply is closed")
        return self._flow.channel.sock.fileno()

    # -- chunks, as http.client would hand them on: a line with the size, the bytes, an empty line

    def readline(self, _limit: int = -1) -> bytes:
        """The size of the next chunk, or the empty line behind the last one."""
        size = self._next_chunk()
        if size:
            self._framing = size
            return b"%x\r\n" % size
        ended, self._framing = self._framing == -1, -1
        return b"\r\n" if ended else b"0\r\n"

    def _safe_read(self, amount: int) -> bytes:
        if not self._framing:
            return b"\r\n"
        data = self._cut(amount)
        self._framing -= len(data)
        return data

    def _next_chunk(self) -> int:
        """The size of the next chunk; of one larger than a piece, how much of it has come."""
        while True:
            marks = self._flow.reader.marks if self._flow else []
            while marks and marks[0] <= self._served:
                marks.pop(0)
            whole = marks[0] - self._served if marks else 0
            if whole and len(self._buffer) >= whole:
                return whole
            if len(self._buffer) >= PIECE or not self._more:
                return len(self._buffer)
            self._fill()

    # --

    def _cut(self, amount: int) -> bytes:
        data = bytes(self._buffer[:amount])
        del self._buffer[:amount]
        self._served += len(data)
        return data

    def _fill(self) -> None:
        assert self._flow
        try:
            data = self._flow.more()
        except BrokenExchange as broken:
            self._over()
            raise _error_of(broken.failure) from None
        self._buffer += data
        if self._flow.exchange and not self._flow.reader.kept:
            self._over()

    def _over(self) -> None:
        self._more = False
        ended, self._ended = self._ended, None
        if ended:
            ended()


def _error_of(failure: Failure) -> Exception:
    """What urllib3 makes the right error of."""
    if failure.kind == "timeout":
        return TimeoutError(failure.message)
    if failure.kind == "tls":
        return ssl.SSLError(failure.message)
    return HTTPException(failure.message)


class _Unpacker:
    """Our decoder with the interface of urllib3's: at most `max_length` bytes a call, and the rest with the next."""

    def __init__(self, codings: list[str], step: Callable[[], object]) -> None:
        self._decoder = Decoder(codings, step=step, is_bounded=False, lenient=True)
        self._waiting: deque[Iterator[bytes]] = deque()
        self._held = b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if data:
            self._waiting.append(self._decoder.feed(data))
        pieces, size = [self._held], len(self._held)
        while self._waiting and (max_length < 0 or size < max_length):
            piece = self._next()
            pieces.append(piece)
            size += len(piece)
        whole = b"".join(pieces)
        cut = size if max_length < 0 else max_length
        self._held = whole[cut:]
        return whole[:cut]

    @property
    def has_unconsumed_tail(self) -> bool:
        return bool(self._held or self._waiting)

    def flush(self) -> bytes:
        return b""

    def finish(self) -> None:
        """Nothing more comes; raises `DecodeError` if the body is not at its end."""
        try:
            self._decoder.finish()
        except Undecodable as error:
            raise DecodeError(str(error)) from None

    def _next(self) -> bytes:
        try:
            return next(self._waiting[0])
        except StopIteration:
            self._waiting.popleft()
            return b""
        except Undecodable as error:
            self._waiting.clear()
            raise DecodeError(str(error)) from None


class Raw(urllib3.HTTPResponse):
    """urllib3's response, which also checks that a compressed body is whole, and no bomb."""

    _step: Callable[[], object] = staticmethod(lambda: None)

    def _init_decoder(self) -> None:
        """Decode gzip and deflate with our decoder; other codings, known or not, are left to urllib3."""
        codings = [coding.strip() for coding in self.headers.get("content-encoding", "").lower().split(",")]
        if self._decoder is None and OURS.issuperset(codings):
            try:
                self._decoder = _Unpacker(codings_of(",".join(codings)), self._step)  # type: ignore[assignment]
            except Undecodable as error:
                raise DecodeError(str(error)) from None
        super()._init_decoder()

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Generator[bytes]:
        """Piece by piece, as urllib3 does it; raises `DecodeError` if the body ends before its coding does."""
        try:
            yield from super().stream(amt, decode_content)
        except DecodeError:
            # raised once; a later read is empty, as with urllib3
            self._decoder = None
            raise
        if decode_content and isinstance(self._decoder, _Unpacker):
            self._decoder.finish()
            return
        inner = getattr(self._decoder, "_obj", None) if decode_content else None
        # a body without a byte is an empty one, whatever its coding
        if getattr(inner, "eof", True) is False and self._fp_bytes_read:
            raise DecodeError("the compressed body is cut short")


def raw_of(head: bytes, method: str, pull: Pull | None = None, step: Callable[[], object] | None = None) -> Raw:
    """The response urllib3 would have made of it, its body read already if no `pull` is given.

    `step` is called with each piece that is decoded, and may raise.
    """
    pull = pull or Pull(head, method)
    raw = Raw(
        body=pull,  # type: ignore[arg-type]
        headers=urllib3.HTTPHeaderDict(pull.msg.items()),
        status=int(head[9:12]),
        version=VERSIONS.get(head[:8], 11),
        reason=reason_of(head),
        preload_content=False,
        decode_content=False,
        original_response=pull,  # type: ignore[arg-type]
        request_method=method,
        # the wire checks the length, with a better message
        enforce_content_length=False,
    )
    if step:
        raw._step = step
    return raw
