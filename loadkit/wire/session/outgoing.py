"""What goes over the wire of a request that `requests` has prepared: where to, its head, and its body in pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from requests.exceptions import InvalidURL
from urllib3 import Timeout

from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND
from loadkit.plan.urls import strip_url
from loadkit.wire.base import Origin, Request
from loadkit.wire.encode import host_of, message, origin_of
from loadkit.wire.session.call import FOREVER
from loadkit.wire.session.exceptions import UnfitHeader

if TYPE_CHECKING:
    from requests import PreparedRequest

STILL: Final = FOREVER // 10
"""How long nothing may come if nobody says; less than for ever, so that the socket is armed once."""
BLOCK: Final = 16 * 1024
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BYTES: Final = (bytes, bytearray, memoryview)


def checked_base_url(url: str) -> str:
    """A URL that others can be joined to; raises `UsageError`."""
    if not re.match(r"(?i)https?://.|http\+unix://.", url):
        raise UsageError(f"cannot use base_url={url!r}; write it like 'http://127.0.0.1:8000'")
    return url.rstrip("/")


def joined(base_url: str | None, url: Any) -> Any:
    """A URL, joined to the base if it has no scheme."""
    if base_url is None or not isinstance(url, str) or _ABSOLUTE.match(url):
        return url
    return base_url + (url if url.startswith("/") else f"/{url}" if url else "")


def request_of(
    request: PreparedRequest, target: str, timeout: Any, span: int, *, keep: int | None = None, follows: bool = False
) -> Request:
    """The request as bytes, to be answered within `span` nanoseconds; of a body in pieces only the head.

    `timeout` is what `requests` takes. Raises `InvalidURL`, `InvalidHeader`, and `ValueError` for the timeout.
    """
    connect_timeout, read_timeout, total = _timeouts(timeout)
    origin, address = _place(request)
    return Request(
        origin=origin,
        method=request.method or "",
        url=strip_url(request.url or ""),
        payload=_payload(request, target, host_of(origin, urlsplit(address).hostname or origin.host)),
        timeout=span if total is None else min(span, total),
        keep=keep,
        lenient=True,
        read_timeout=STILL if read_timeout is None else read_timeout,
        connect_timeout=connect_timeout,
        follows=follows,
    )


def _timeouts(timeout: Any) -> tuple[int | None, int | None, int | None]:
    """Nanoseconds of connecting, of waiting between bytes and of both together; raises `ValueError`."""
    if isinstance(timeout, tuple) and len(timeout) != 2:
        raise ValueError(f"cannot use timeout={timeout!r}; write (connect, read), or one number for both")
    if not isinstance(timeout, Timeout):
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        timeout = Timeout(connect=connect, read=read)
    return _span(timeout.connect_timeout), _span(timeout._read), _span(timeout.total)


def _span(time: Any) -> int | None:
    return round(time * SECOND) if isinstance(time, int | float) else None


def _place(request: PreparedRequest) -> tuple[Origin, str]:
    """Where a request goes, and the URL of that as `requests` has it; raises `InvalidURL`."""
    try:
        return origin_of(request.url or "")
    except (AssertionError, ValueError, UsageError) as error:
        raise InvalidURL(f"no host, or no port, in the URL {request.url!r}: {error}", request=request) from None


def _payload(request: PreparedRequest, target: str, host: str) -> bytes:
    """The head of a request, and its body if that is text or bytes; raises `InvalidHeader`."""
    # as http.client says it for whoever says nothing
    first = {} if "accept-encoding" in request.headers else {"Accept-Encoding": "identity"}
    headers = first | dict(request.headers)
    if _is_chunked(request) and "transfer-encoding" not in request.headers:
        headers["Transfer-Encoding"] = "chunked"
    body: Any = request.body
    content = body.encode() if isinstance(body, str) else bytes(body) if isinstance(body, _BYTES) else b""
    try:
        return message(str(request.method), target, host, headers, content)
    except ValueError as error:
        raise UnfitHeader(str(error), request=request) from None


def _is_chunked(request: PreparedRequest) -> bool:
    return request.body is not None and "content-length" not in request.headers


def pieces_of(request: PreparedRequest, count: Callable[[int], object]) -> Iterator[bytes] | None:
    """A body that is a file or an iterable, as it goes over the wire; None for one that is there already."""
    body: Any = request.body
    if body is None or (isinstance(body, str | bytes | bytearray | memoryview) and not _is_chunked(request)):
        return None
    return _counted(_framed(_blocks(body)) if _is_chunked(request) else _blocks(body), count)


def _blocks(body: Any) -> Iterator[bytes]:
    is_file = hasattr(body, "read")
    blocks: Iterable[Any] = iter(lambda: body.read(BLOCK), None) if is_file else body
    for block in [body] if isinstance(body, (str, *_BYTES)) else blocks:
        if block:
            yield block.encode() if isinstance(block, str) else bytes(block)
        elif is_file:
            return


def _framed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield b"%x\r\n%s\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


def _counted(pieces: Iterable[bytes], count: Callable[[int], object]) -> Iterator[bytes]:
    for piece in pieces:
        count(len(piece))
        yield piece
