"""HAR files, as browsers and proxies record them: the entries that a server answered, one at a time.

The file is mapped and not read: an entry is decoded when it is looked at, and the bodies of replies only to find what
they hand out, so that memory grows with the requests and not with what came.
"""

from __future__ import annotations

import base64
import binascii
import mmap
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from urllib3 import encode_multipart_formdata

from loadkit.drive.rows.readers import BOM
from loadkit.importer.bodies import FORM
from loadkit.importer.headers import hands_out, is_of_browser
from loadkit.plan.errors import UsageError, reason_of


class Pair(msgspec.Struct):
    """A header, or a field of a form."""

    name: str = ""
    value: str | None = None
    file_name: str | None = msgspec.field(default=None, name="fileName")
    content_type: str | None = msgspec.field(default=None, name="contentType")


class _PostData(msgspec.Struct, rename="camel"):
    mime_type: str | None = None
    text: str | None = None
    params: list[Pair] | None = None
    encoding: str | None = None


class _Request(msgspec.Struct, rename="camel"):
    method: str
    url: str
    headers: list[Pair] | None = None
    post_data: _PostData | None = None


class _Content(msgspec.Struct, rename="camel"):
    mime_type: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    status: int = 0
    headers: list[Pair] | None = None
    content: _Content | None = None
    redirect_url: str | None = msgspec.field(default=None, name="redirectURL")


class _Entry(msgspec.Struct):
    started: str = msgspec.field(name="startedDateTime")
    request: _Request
    response: _Response
    time: float | None = None
    pageref: str | None = None
    kind: str | None = msgspec.field(default=None, name="_resourceType")
    cache: str | None = msgspec.field(default=None, name="_fromCache")


class _Body(msgspec.Struct):
    text: str | None = None
    encoding: str | None = None


class _WithBody(msgspec.Struct):
    content: _Body | None = None


class _Reply(msgspec.Struct):
    response: _WithBody


class _Page(msgspec.Struct):
    id: str = ""
    title: str | None = None


class _Log(msgspec.Struct):
    entries: list[msgspec.Raw]
    pages: list[_Page] | None = None


class _Har(msgspec.Struct):
    log: _Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that was recorded, and what is known of its reply."""

    number: int
    """Of its entry, from 1."""
    started: float
    """Seconds since the epoch."""
    ended: float
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    """But for those of the browser."""
    body: bytes
    content_type: str
    page: str
    """What the browser calls the page that it belongs to."""
    kind: str
    """What the browser says that it is for: `document`, `image`, `websocket`; empty where it says nothing."""
    is_cached: bool
    """The browser had the reply already, and sent nothing."""
    is_preflight: bool
    """The browser asked whether it may send another request."""
    status: int
    """0 where there was no reply."""
    reply_headers: tuple[tuple[str, str], ...]
    """Those that may hand something out."""
    reply_type: str
    location: str
    """Where a redirect leads."""
    raw: msgspec.Raw = field(repr=False, compare=False)

    def header(self, name: str) -> str:
        """A header of the request; empty where it has none."""
        return next((value for one, value in self.headers if one.lower() == name), "")

    def reply_body(self) -> bytes:
        """The body of the reply, as far as it was recorded."""
        try:
            content = msgspec.json.decode(self.raw, type=_Reply).response.content
        except msgspec.ValidationError:
            return b""
        return _decoded(content.text, content.encoding) if content and content.text else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Har:
    """What is in a HAR file."""

    exchanges: list[Exchange]
    """In the order in which they began."""
    broken: list[int]
    """The numbers of the entries that are none."""


def read_har(path: Path) -> Har:
    """The entries of a HAR file; `UsageError` for a file that is none."""
    try:
        with path.open("rb") as file:
            # closed with the last entry that is in use
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        har = msgspec.json.decode(content[len(BOM) :] if bytes(content[: len(BOM)]) == BOM else content, type=_Har)
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {reason_of(error)}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{str(path)!r} is no HAR file: {error}") from None
    titles = {page.id: page.title or "" for page in har.log.pages or ()}
    exchanges, broken = [], []
    for number, raw in enumerate(har.log.entries, 1):
        try:
            exchanges.append(_exchange(number, raw, titles))
        except (msgspec.ValidationError, ValueError, OverflowError):
            broken.append(number)
    return Har(exchanges=sorted(exchanges, key=lambda one: one.started), broken=broken)


def _exchange(number: int, raw: msgspec.Raw, titles: dict[str, str]) -> Exchange:
    entry = msgspec.json.decode(raw, type=_Entry)
    request, response = entry.request, entry.response
    # raises ValueError for a port that is none
    _ = urlsplit(request.url).port
    started = datetime.fromisoformat(entry.started).timestamp()
    body, content_type = _sent(request)
    return Exchange(
        number=number,
        started=started,
        ended=started + max(0.0, entry.time or 0.0) / 1000,
        method=request.method.upper(),
        url=request.url.partition("#")[0],
        headers=tuple(one for one in _pairs(request.headers) if not is_of_browser(*one)),
        body=body,
        content_type=content_type,
        page=titles.get(entry.pageref or "", entry.pageref or ""),
        kind=(entry.kind or "").lower(),
        is_cached=entry.cache is not None,
        is_preflight=request.method == "OPTIONS"
        and "access-control-request-method" in dict(_pairs(request.headers, lower=True)),
        status=max(0, response.status),
        reply_headers=tuple(one for one in _pairs(response.headers) if hands_out(one[0])),
        reply_type=((response.content and response.content.mime_type) or "").partition(";")[0].strip().lower(),
        location=response.redirect_url or dict(_pairs(response.headers, lower=True)).get("location", ""),
        raw=raw,
    )


def _pairs(found: list[Pair] | None, *, lower: bool = False) -> tuple[tuple[str, str], ...]:
    """Headers without those of HTTP/2 that are none."""
    return tuple(
        (one.name.lower() if lower else one.name, (one.value or "").strip())
        for one in found or ()
        if one.name and not one.name.startswith(":")
    )


def _sent(request: _Request) -> tuple[bytes, str]:
    """The body of a request, and its type."""
    post = request.post_data
    declared = dict(_pairs(request.headers, lower=True)).get("content-type", "")
    kind = declared or (post.mime_type if post else None) or ""
    if post is None:
        return b"", kind
    if post.text:
        return _decoded(post.text, post.encoding), kind
    if not post.params:
        return b"", kind
    if kind.startswith("multipart/"):
        return encode_multipart_formdata([_part(one) for one in post.params])
    return urlencode([(one.name, one.value or "") for one in post.params]).encode(), kind or FORM


def _part(one: Pair) -> Any:
    if one.file_name is None:
        return one.name, one.value or ""
    return one.name, (one.file_name, one.value or "", one.content_type or "application/octet-stream")


def _decoded(text: str, encoding: str | None) -> bytes:
    if encoding != "base64":
        return text.encode(errors="surrogatepass")
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""
