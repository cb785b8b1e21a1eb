"""What goes over the wire of a request that `requests` has prepared: where to, its head, and its body in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from requests.exceptions import InvalidURL

from loadkit.plan.errors import UsageError
from loadkit.wire.base import Origin
from loadkit.wire.encode import host_of, message, origin_of
from loadkit.wire.session.exceptions import UnfitHeader

if TYPE_CHECKING:
    from requests import PreparedRequest

BLOCK: Final = 16 * 1024
_BYTES: Final = (bytes, bytearray, memoryview)


def payload_of(request: PreparedRequest, target: str, origin: Origin, address: str) -> bytes:
    """The head of a request, and its body if that is text or bytes; raises `InvalidHeader`."""
    # as http.client says it for whoever says nothing
    first = {} if "accept-encoding" in request.headers else {"Accept-Encoding": "identity"}
    headers = first | dict(request.headers)
    if _is_chunked(request) and "transfer-encoding" not in request.headers:
        headers["Transfer-Encoding"] = "chunked"
    body: Any = request.body
    content = body.encode() if isinstance(body, str) else bytes(body) if isinstance(body, _BYTES) else b""
    try:
        return message(
            str(request.method),
            target,
            host_of(origin, urlsplit(address).hostname or origin.host),
            headers,
            content,
        )
    except ValueError as error:
        raise UnfitHeader(str(error), request=request) from None


def place_of(request: PreparedRequest) -> tuple[Origin, str]:
    """Where a request goes, and the URL of that as `requests` has it; raises `InvalidURL`."""
    try:
        return origin_of(request.url or "")
    except (AssertionError, ValueError, UsageError) as error:
        raise InvalidURL(f"no host, or no port, in the URL {request.url!r}: {error}", request=request) from None


def _is_chunked(request: PreparedRequest) -> bool:
    return request.body is not None and "content-length" not in request.headers


def pieces_of(request: PreparedRequest, count: Callable[[int], object]) -> Iterable[bytes] | None:
    """A body that is a file or an iterable, as it goes over the wire; None for one that is there already."""
    body: Any = request.body
    if body is None or (isinstance(body, str | bytes | bytearray | memoryview) and not _is_chunked(request)):
        return None
    return _counted(_framed(_blocks(body)) if _is_chunked(request) else _blocks(body), count)


def _blocks(body: Any) -> Iterator[bytes]:
    if isinstance(body, str | bytes | bytearray | memoryview):
        blocks: Iterable[Any] = [body]
    else:
        blocks = iter(lambda: body.read(BLOCK), None) if hasattr(body, "read") else body
    for block in blocks:
        if not block:
            if hasattr(body, "read"):
                return
            continue
        yield block.encode() if isinstance(block, str) else bytes(block)


def _framed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield b"%x\r\n%s\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


def _counted(pieces: Iterable[bytes], count: Callable[[int], object]) -> Iterator[bytes]:
    for piece in pieces:
        count(len(piece))
        yield piece
