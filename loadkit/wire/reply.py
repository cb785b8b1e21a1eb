"""A reply as a check sees it: the names of `requests.Response`, each made when it is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from loadkit.wire.charsets import is_charset
from loadkit.wire.decode import DecodeError, Decoder, codings_of

if TYPE_CHECKING:
    from functools import cached_property

    from requests.structures import CaseInsensitiveDict
else:

    class cached_property:  # noqa: N801 - what is in its place for a type checker
        """As that of `functools` since Python 3.12: without the one lock for all instances.

        With it the threads of a run would decode one after the other, and a signal that comes as the lock is given back
        would leave it held for good.
        """

        def __init__(self, make: Callable[[Any], Any]) -> None:
            self._make = make
            self.__doc__ = make.__doc__

        def __get__(self, instance: Any, _: type) -> Any:
            if instance is None:
                return self
            return instance.__dict__.setdefault(self._make.__name__, self._make(instance))


MAX_DECODED: Final = 64_000_000
"""Bytes that a body may become in each of its codings."""


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
        try:
            return _decoded(self._body, self.headers.get("content-encoding", ""))
        except DecodeError as error:
            raise AssertionError(str(error)) from None

    @cached_property
    def text(self) -> str:
        """The body as text, in the charset of its Content-Type, else UTF-8; what is not in it is replaced."""
        _, _, rest = self.headers.get("content-type", "").lower().partition("charset=")
        charset = rest.split(";")[0].strip(" \"'")
        return self.content.decode(charset if is_charset(charset) else "utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; raises `ValueError` when it is not."""
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """Raise `AssertionError` for a status of 400 or above."""
        assert self.ok, f"{self.status_code} {self.reason} for {self.url}"


def _decoded(body: bytes, coding: str) -> bytes:
    codings = codings_of(coding)
    if not codings or not body:
        return body
    decoder = Decoder(codings, free=MAX_DECODED, times=0)
    content = b"".join(decoder.feed(body))
    decoder.finish()
    return content


Check = Callable[[Reply], object]
