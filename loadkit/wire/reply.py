"""A reply as a check sees it: the names of `requests.Response`, each made when it is looked at."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from requests.structures import CaseInsensitiveDict

MAX_CODINGS: Final = 4
MAX_DECODED: Final = 64_000_000
BLOCK: Final = 4096

# what zlib calls a window: the format, too
GZIP, ZLIB, RAW = 31, 15, -15


class Reply:
    """The status, headers and body of one reply.

    `status_code, reason, ok, headers, content, text, json(), url, raise_for_status()` are those of
    `requests.Response`. A body is decoded (gzip, deflate) when it is first read; reading one that was cut by
    `body_limit`, or that does not decode, raises `AssertionError`, which fails the request.
    """

    def __init__(self, *, head: bytes, body: bytes, url: str, truncated: bool = False) -> None:
        self._head = head
        self._body = body
        self._truncated = truncated
        self.url = url

    def __repr__(self) -> str:
        return f"<Reply [{self.status_code}]>"

    @cached_property
    def status_code(self) -> int:
        """The status, such as 200."""
        return int(self._head[9:12])

    @cached_property
    def reason(self) -> str:
        """The phrase behind the status."""
        return self._head.partition(b"\r\n")[0][13:].decode("latin-1")

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @cached_property
    def headers(self) -> CaseInsensitiveDict[str]:
        """The headers; those that came more than once are joined with a comma."""
        from requests.structures import CaseInsensitiveDict

        found: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for line in self._head.decode("latin-1").split("\r\n")[1:]:
            name, separator, value = line.partition(":")
            if separator:
                found[name] = f"{found[name]}, {value.strip()}" if name in found else value.strip()
        return found

    @cached_property
    def content(self) -> bytes:
        """The body, decoded."""
        if self._truncated:
            raise AssertionError(f"the body was cut at body_limit, {len(self._body):,} bytes")
        codings = [coding.strip().lower() for coding in self.headers.get("content-encoding", "").split(",")]
        if len(codings) > MAX_CODINGS:
            raise AssertionError(f"{len(codings)} content codings on one body")
        body = self._body
        for coding in reversed(codings):
            body = _decode(body, coding) if body else body
        return body

    @cached_property
    def text(self) -> str:
        """The body as text, in the charset of its Content-Type, else UTF-8; what is not in it is replaced."""
        _, separator, charset = self.headers.get("content-type", "").lower().partition("charset=")
        try:
            return self.content.decode(charset.split(";")[0].strip(" \"'") if separator else "utf-8", "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; raises `ValueError` when it is not."""
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """Raise `AssertionError` for a status of 400 or above."""
        assert self.ok, f"{self.status_code} {self.reason} for {self.url}"


def _decode(body: bytes, coding: str) -> bytes:
    if coding in ("", "identity"):
        return body
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, GZIP, coding)
    if coding == "deflate":
        # RFC 9110 means zlib's format; some servers send the raw one
        return _inflate(body, ZLIB if _has_zlib_header(body) else RAW, coding)
    raise AssertionError(f"cannot decode the content coding {coding!r}")


def _has_zlib_header(body: bytes) -> bool:
    return body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _inflate(body: bytes, window: int, coding: str) -> bytes:
    content = bytearray()
    decoder = zlib.decompressobj(window)
    # in blocks, for zlib copies what is behind the end of a member, and gzip allows any number of them
    for start in range(0, len(body), BLOCK):
        block = body[start : start + BLOCK]
        # gzip may also be padded with zeros
        while block.strip(b"\0") if decoder.eof else block:
            if decoder.eof:
                decoder = _next_member(window, coding)
            content += _decompressed(decoder, block, MAX_DECODED - len(content), coding)
            block = decoder.unused_data
    if not decoder.eof:
        raise AssertionError(f"the {coding} body is cut short")
    return bytes(content)


def _next_member(window: int, coding: str) -> zlib._Decompress:
    if window != GZIP:
        raise AssertionError(f"the {coding} body goes on after its end")
    return zlib.decompressobj(window)


def _decompressed(decoder: zlib._Decompress, block: bytes, room: int, coding: str) -> bytes:
    try:
        # one byte more than is allowed tells what is too much from what just fits
        content = decoder.decompress(block, room + 1)
    except zlib.error as error:
        raise AssertionError(f"the {coding} body does not decode: {error}") from None
    if len(content) > room:
        raise AssertionError(f"the {coding} body is more than {MAX_DECODED:,} bytes decoded")
    return content


Check = Callable[[Reply], object]
