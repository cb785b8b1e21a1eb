"""What a check is shown: the last reply of a connection, as a `requests.Response`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.utils import get_encoding_from_headers

from loadkit.wire.decode import DecodeError, Decoder, codings_of
from loadkit.wire.session.response import Head, Response

if TYPE_CHECKING:
    from loadkit.wire.base import Request

MAX_DECODED: Final = 64_000_000
"""Bytes that a body may become in each of its codings."""


class CheckedResponse(Response):
    """A `requests.Response` whose parts are made when they are looked at.

    A body is decoded when it is first read; reading one that was cut by `body_limit`, or that does not decode, raises
    `AssertionError`, which fails the request. Text without a charset is UTF-8. It has no `elapsed`.
    """

    _body: bytes
    _is_cut: bool

    def __getattr__(self, name: str) -> Any:
        """A part that is asked for the first time."""
        if name == "elapsed":
            raise AttributeError("the reply of a check has no elapsed; the times are in the report")
        if name == "encoding":
            kind = self.headers.get("content-type", "")
            self.encoding = get_encoding_from_headers(self.headers) if "charset" in kind.lower() else "utf-8"
            return self.encoding
        return super().__getattr__(name)

    @property
    def content(self) -> bytes:
        """The body, decoded."""
        if self._content is False:
            self._content = self._decoded()
        content: bytes = self._content
        return content

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        """The body piece by piece."""
        _ = self.content
        return super().iter_content(chunk_size, decode_unicode)

    def _decoded(self) -> bytes:
        if self._is_cut:
            raise AssertionError(f"the body was cut at body_limit, {len(self._body):,} bytes")
        try:
            codings = codings_of(self.headers.get("content-encoding", ""))
            if not codings or not self._body:
                return self._body
            decoder = Decoder(codings, free=MAX_DECODED, times=0)
            content = b"".join(decoder.feed(self._body))
            decoder.finish()
        except DecodeError as error:
            raise AssertionError(str(error)) from None
        return content


class SentRequest:
    """A request that was sent, from which a response makes its own."""

    __slots__ = ("_request",)

    adapter: Final = None

    def __init__(self, request: Request) -> None:
        self._request = request

    def prepared_request(self, _body: Any) -> requests.PreparedRequest:
        """As `requests` would have prepared it, but for the URL, which is without query."""
        head, _, body = self._request.payload.partition(b"\r\n\r\n")
        made = requests.PreparedRequest()
        made.method = self._request.method
        made.url = self._request.url
        lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:]]
        made.headers = requests.structures.CaseInsensitiveDict({name: value for name, _, value in lines})
        made.body = body or None
        made._cookies = requests.cookies.RequestsCookieJar()  # type: ignore[attr-defined]
        return made


def checked_response(request: Request, head: Head, body: bytes, *, is_cut: bool = False) -> CheckedResponse:
    """The response of a request: its head, the bytes of its body as they came, and whether that is not all of it."""
    made = CheckedResponse.__new__(CheckedResponse)
    made.status_code = int(head.raw[9:12])
    made._content = False if head.coded or is_cut else body
    made._content_consumed = True
    made._body = body
    made._is_cut = is_cut
    made._seen = (head, SentRequest(request), None, 0)
    return made


def response_maker() -> Callable[[Request, bytes, bytes, bool], CheckedResponse]:
    """A function that makes the responses of one connection, from what `HttpConnection.last` keeps."""
    known = Head(b"")

    def response(request: Request, head: bytes, body: bytes, is_cut: bool) -> CheckedResponse:
        nonlocal known
        if known.raw is not head:
            # it is the same object for replies with the same head
            known = Head(head)
        return checked_response(request, known, body, is_cut=is_cut)

    return response
