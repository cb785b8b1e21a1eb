"""A `requests.Response` whose parts are made when they are looked at."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec
import requests
from requests import cookies
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3.exceptions import ReadTimeoutError

from loadkit.plan.units import show_size
from loadkit.wire.charsets import is_charset
from loadkit.wire.session.exceptions import BodyTimeout, BodyTooLarge, stalled
from loadkit.wire.session.raw import message_of, raw_of, reason_of

if TYPE_CHECKING:
    from requests import PreparedRequest

# where it finds a value it is that of `json`, in a third of the time
_decode: Final = msgspec.json.Decoder().decode
_extract: Any = cookies.extract_cookies_to_jar

PIECE: Final = 64 * 1024
# of each new head it is asked first: 0.3 us, each of three `in` takes 0.2
_UNUSUAL: Final = re.compile(rb"\n(?:set-cookie|content-encoding|location):", re.IGNORECASE).search


class Head:
    """The head of replies that are the same byte for byte: what was read in it is read once."""

    __slots__ = ("_encoding", "_pairs", "coded", "cookies", "dated", "raw", "unusual")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.unusual = _UNUSUAL(raw) is not None
        """There is more to do than to hand the body over."""
        lower = raw.lower() if self.unusual else b""
        self.cookies = b"\nset-cookie:" in lower
        self.dated = b"max-age" in lower
        self.coded = b"\ncontent-encoding:" in lower
        self._pairs: dict[str, tuple[str, str]] | None = None
        self._encoding: str | None = None

    def headers(self) -> CaseInsensitiveDict[str]:
        """A new dictionary of the headers."""
        pairs = self._read()
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for name, value in pairs.values():
            headers[name] = value
        return headers

    @property
    def encoding(self) -> str | None:
        """The charset that the headers tell of."""
        if self._pairs is None:
            self._read()
        return self._encoding

    def _read(self) -> dict[str, tuple[str, str]]:
        if self._pairs is None:
            pairs: dict[str, tuple[str, str]] = {}
            for name, value in message_of(self.raw).items():
                key = name.lower()
                # urllib3 keeps the first spelling and joins the values
                pairs[key] = (pairs[key][0], f"{pairs[key][1]}, {value}") if key in pairs else (name, value)
            self._pairs = pairs
            self._encoding = get_encoding_from_headers(self.headers())
        return self._pairs


class Source(Protocol):
    """What a response answers."""

    @property
    def adapter(self) -> Any:
        """What sent it."""

    def prepared_request(self, body: Any) -> PreparedRequest:
        """The request, as if it had been prepared for this response."""


_Seen: TypeAlias = tuple[Head, Source, Any, int]
"""Head, what was sent, with which body, nanoseconds it took."""


class Response(requests.Response):
    """What `requests.Response` is, and equal to it; `elapsed` is the time from sending to the last byte.

    A body of more than the session's `body_limit` raises `BodyTooLarge`; so does one that is more when decoded.
    """

    _content: Any
    _content_consumed: bool
    _next: Any
    _limit: int = 2**63
    _seen: _Seen | None = None
    """What the other parts are made of."""

    def __getattr__(self, name: str) -> Any:
        # only what is not there yet comes here
        make = _PARTS.get(name)
        if make is None or self._seen is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = self.__dict__[name] = make(self, *self._seen)
        return value

    @property
    def content(self) -> bytes:
        """The body, decoded; raises `BodyTooLarge` beyond the limit."""
        if self._content is False and not self._content_consumed and self.raw is not None and self.status_code:
            self._content = self._whole()
        return super().content

    def json(self, **kwargs: Any) -> Any:
        """The body as JSON; raises `requests.exceptions.JSONDecodeError`."""
        # the common case of the same function of requests, which takes 2 us more
        if self._seen is not None and not kwargs:
            mine = self.__dict__
            encoding = mine["encoding"] if "encoding" in mine else self._seen[0].encoding
            if encoding == "utf-8" and mine["_content"]:
                try:
                    return _decode(mine["_content"])
                except (ValueError, RecursionError):
                    # NaN, or bytes that are no UTF-8, say; or no JSON, for which requests has words of its own
                    pass
        try:
            return super().json(**kwargs)
        except requests.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            if kwargs:
                # it may be what the user's own functions raise
                raise
            # a number of too many digits, or nested too deeply
            raise requests.JSONDecodeError(str(error), self.text, 0) from None

    @property
    def text(self) -> str:
        """The body as text; a charset that is none counts as UTF-8, as one that is not known does."""
        if self.encoding is not None and not is_charset(self.encoding):
            return str(self.content, "utf-8", "replace") if self.content else ""
        return super().text

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        """The body piece by piece; a stall within it is a `BodyTimeout`."""
        is_odd = decode_unicode and self.encoding is not None and not is_charset(self.encoding)
        pieces: Iterator[Any] = super().iter_content(chunk_size, decode_unicode and not is_odd)
        if not self._content_consumed:
            pieces = _timed(pieces, self.request)
        return _as_utf_8(pieces) if is_odd else pieces

    def _whole(self) -> bytes:
        pieces, size = [], 0
        for piece in self.iter_content(PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > self._limit:
                self.close()
                raise too_large(self._limit, self.request)
        return b"".join(pieces)


def too_large(limit: int, request: PreparedRequest) -> BodyTooLarge:
    """The error for a body beyond the limit."""
    return BodyTooLarge(
        f"the body is more than body_limit={limit} ({show_size(limit)}); read it with stream=True, or raise the limit",
        request=request,
    )


def _as_utf_8(pieces: Iterator[bytes]) -> Iterator[str]:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    for piece in pieces:
        if text := decode(piece):
            yield text
    if text := decode(b"", final=True):
        yield text


def _timed(pieces: Iterator[Any], request: PreparedRequest) -> Iterator[Any]:
    try:
        yield from pieces
    except requests.RequestException as error:
        cause = error.args[0] if error.args else None
        if isinstance(cause, ReadTimeoutError):
            raise BodyTimeout(stalled(str(cause.__cause__), request), request=request) from None
        error.request = error.request or request
        raise


def _cookies(response: Response, *_: object) -> RequestsCookieJar:
    jar = RequestsCookieJar()
    _extract(jar, response.request, response.raw)
    return jar


_PARTS: Final[dict[str, Callable[[Response, Head, Source, Any, int], Any]]] = {
    "headers": lambda _, head, *__: head.headers(),
    "encoding": lambda _, head, *__: head.encoding,
    "reason": lambda _, head, *__: reason_of(head.raw),
    "request": lambda _, __, source, body, ___: source.prepared_request(body),
    "url": lambda response, *_: response.request.url,
    "elapsed": lambda *seen: timedelta(microseconds=seen[-1] / 1000),
    "connection": lambda _, __, source, *___: source.adapter,
    "raw": lambda response, head, *_: raw_of(head.raw, str(response.request.method)),
    "cookies": _cookies,
    "history": lambda *_: [],
    "_next": lambda *_: None,
}
