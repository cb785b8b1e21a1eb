"""One entry of the list: the request it asks for, and how far that has come."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from loadkit.fetcher.url import Url
from loadkit.plan.labels import fold_path, fold_segment
from loadkit.wire.base import HARMLESS
from loadkit.wire.encode import merge_headers, message

if TYPE_CHECKING:
    from collections.abc import Mapping


IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PUT", "DELETE"})
LONGEST_PATH: Final = 300
"""Characters of a path in a label."""

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
# a decimal or a version is one number, and not two with a dot between
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)+|[0-9]{2,}")


class FetchRequest(NamedTuple):
    """What an entry of the list asks for."""

    position: int
    """In the list, from 1."""
    url: Url
    method: str
    headers: dict[str, str] | None
    """Those of its row, beside the common ones."""
    body: bytes | None
    key: int
    """64 bits by which two requests are the same."""


@dataclass(slots=True, eq=False)
class Task:
    """A request in progress. It belongs to one thread at a time: the reader, the schedule or a worker."""

    request: FetchRequest
    url: Url
    """Where redirects have led so far."""
    attempts: int = 0
    throttled: int = 0
    """Attempts that a server answered with a request to wait."""
    redirects: int = 0
    started: float = 0.0
    """Seconds since 1970, of the first attempt."""
    due: int = 0
    sent: int = 0
    """When the first byte of this attempt was sent; a redirect belongs to the same attempt."""
    disk_time: int = 0
    """Nanoseconds."""
    status: int = 0
    label: str = ""
    """Its label in reports; empty until it is needed."""
    became_get: bool = False
    """True if a redirect made a GET without a body of it."""
    left_origin: bool = False
    """True if a redirect led to another host, port or scheme; that decides on all that follow."""

    def restart(self) -> None:
        """Begin the next attempt at the URL of the list."""
        self.url = self.request.url
        self.redirects = 0
        self.sent = 0
        self.became_get = False
        self.left_origin = False

    def follow(self, url: Url, status: int) -> None:
        """Go where a redirect leads, as browsers do (RFC 9110, 15.4)."""
        method = self.request.method
        self.url = url
        self.redirects += 1
        self.left_origin = self.left_origin or url.origin != self.request.url.origin
        if method not in ("GET", "HEAD") and (status == 303 or (status in (301, 302) and method == "POST")):
            self.became_get = True

    @property
    def method(self) -> str:
        """The method that is sent now."""
        return "GET" if self.became_get else self.request.method


def encode_request(task: Task, common: Mapping[str, str], common_lines: str = "") -> bytes:
    """The request as HTTP/1.1; `common_lines` are the headers of `common`, if they can be sent as they are."""
    url, request = task.url, task.request
    is_plain = request.headers is None and request.body is None and not request.url.credentials
    if is_plain and common_lines and url is request.url and request.method in ("GET", "HEAD"):
        return f"{request.method} {url.target} HTTP/1.1\r\nHost: {url.host}\r\n{common_lines}\r\n".encode("latin-1")
    headers = merge_headers(common, request.headers or {})
    content = b"" if task.became_get else request.body or b""
    if task.left_origin:
        kept = HARMLESS | {"content-type"} if content else HARMLESS
        headers = {name: value for name, value in headers.items() if name.lower() in kept}
    elif request.url.credentials:
        headers = merge_headers({"Authorization": request.url.credentials}, headers)
    if content:
        headers["Content-Length"] = str(len(content))
    return message(task.method, url.target, url.host, headers, content)


def header_lines(common: Mapping[str, str]) -> str:
    """The common headers as lines; empty if they cannot be sent with each request as they are."""
    if "host" in map(str.lower, common):
        return ""
    return "".join(f"{name}: {value}\r\n" for name, value in common.items())


def label_of(request: FetchRequest) -> str:
    """The label in reports: method, host and path, with placeholders for numbers and identifiers.

    So 50,000 posts are one row: `GET http://h/posts/{id}.json`, and parts are `GET http://h/data/part-{n}.csv`.
    """
    url = request.url
    path = url.target.partition("?")[0]
    if len(path) > LONGEST_PATH:
        path = path[:LONGEST_PATH] + "…"
    found = _EXTENSION.search(path)
    end = found[0] if found else ""
    folder, slash, last = path.removesuffix(end).rpartition("/")
    template = f"{_fold_folder(folder)}{slash}{_NUMBER.sub('{n}', fold_segment(last))}{end}"
    return f"{request.method} {url.origin.scheme}://{url.host}{template}"


# many URLs share all but the last segment
_fold_folder = lru_cache(maxsize=1024)(fold_path)
