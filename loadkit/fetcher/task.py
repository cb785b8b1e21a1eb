"""One URL on its way: what is asked, how often it was, and when it will be again."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.options import method, sendable
from loadkit.fetcher.resume import digest_of
from loadkit.fetcher.url import InvalidUrl, Url, parse_url
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import check_headers as checked_headers
from loadkit.plan.labels import fold_path
from loadkit.wire.base import HARMLESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadkit.fetcher.sources import Entry


SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
IDEMPOTENT: Final = SAFE | {"PUT", "DELETE"}


class Task:
    """One URL of the list. It belongs to one thread at a time: the reader, the schedule, the thread that fetches it."""

    __slots__ = (
        "address",
        "asked",
        "attempts",
        "became_get",
        "body",
        "disk",
        "due",
        "headers",
        "hops",
        "key",
        "left_origin",
        "method",
        "position",
        "row",
        "sent",
        "started",
        "status",
        "throttled",
        "where",
    )

    def __init__(self, position: int, where: str, asked: Url, verb: str, key: int) -> None:
        self.position = position
        self.where = where
        self.asked = asked
        """As the list says."""
        self.address = asked
        """Where redirects have led so far."""
        self.method = verb
        self.key = key
        self.headers: dict[str, str] | None = None
        """What its row says beside the common ones."""
        self.body: bytes | None = None
        self.attempts = 0
        self.throttled = 0
        self.hops = 0
        self.started = 0.0
        self.due = 0
        self.sent = 0
        """When the first byte of this attempt was sent; a redirect goes on with it."""
        self.disk = 0
        self.status = 0
        self.row = ""
        """Its label in reports, once it is known."""
        self.became_get = False
        """A redirect has made a GET without a body of it."""
        self.left_origin = False
        """A redirect has led to another host, port or scheme, which decides on all that follow."""

    def start_over(self) -> None:
        """The next attempt begins where the list says."""
        self.address = self.asked
        self.hops = 0
        self.sent = 0
        self.became_get = False
        self.left_origin = False

    def follow(self, there: Url, status: int) -> None:
        """Go where a redirect leads, as browsers do (RFC 9110, 15.4)."""
        self.address = there
        self.hops += 1
        self.left_origin = self.left_origin or there.origin != self.asked.origin
        if self.method not in ("GET", "HEAD") and (status == 303 or (status in (301, 302) and self.method == "POST")):
            self.became_get = True

    @property
    def verb(self) -> str:
        """The method that is sent now."""
        return "GET" if self.became_get else self.method

    def is_plain(self) -> bool:
        """Whether there is nothing to be sent for it but what is sent for all."""
        return (
            self.headers is None
            and self.body is None
            and not self.asked.credentials
            and self.address is self.asked
            and self.method in ("GET", "HEAD")
        )


def parse_entry(wanted: Entry, position: int, default: str) -> Task:
    """The task a row asks for; raises `InvalidUrl` saying why it cannot be one."""
    there = parse_url(wanted.url)
    try:
        verb = default if wanted.method is None else method(wanted.method)
        found = None
        if wanted.headers:
            # as they are: a list may be somebody else's, and must not read our environment
            found = sendable(checked_headers(wanted.headers))
    except UsageError as error:
        raise InvalidUrl(str(error)) from None
    task = Task(position, wanted.where, there, verb, 0)
    task.headers, task.body = found, wanted.body
    if wanted.is_json and not (found and "content-type" in map(str.lower, found)):
        task.headers = {**(found or {}), "Content-Type": "application/json"}
    task.key = _key(task)
    return task


def _key(task: Task) -> int:
    """By what two requests are the same: all of what is asked, but not the password with which."""
    asked = task.asked
    if task.method == "GET" and task.body is None and not task.headers and not asked.user:
        return digest_of(asked.url)
    told = sorted((name.lower(), value) for name, value in (task.headers or {}).items())
    return digest_of(f"{task.method} {asked.user}@{asked.url} {told!r} {task.body!r}")


def message(task: Task, common: Mapping[str, str], written: str = "") -> bytes:
    """The request as it goes over the wire; `written` is `common` as lines, if they may be taken as they are."""
    if written and task.is_plain():
        there = task.address
        return f"{task.method} {there.target} HTTP/1.1\r\nHost: {there.host}\r\n{written}\r\n".encode("latin-1")
    there = task.address
    away = task.left_origin
    told = _merged(common, task.headers) if task.headers else common
    lines = [f"{task.verb} {there.target} HTTP/1.1"]
    if away or "host" not in map(str.lower, told):
        lines.append(f"Host: {there.host}")
    for name, value in told.items():
        if not away or name.lower() in HARMLESS:
            lines.append(f"{name}: {value}")
    if task.asked.credentials and not away and "authorization" not in map(str.lower, told):
        lines.append(f"Authorization: {task.asked.credentials}")
    if not task.became_get and (task.body is not None or task.method in ("POST", "PUT", "PATCH")):
        content = task.body or b""
        if away and task.headers:
            lines += [f"{name}: {value}" for name, value in task.headers.items() if name.lower() == "content-type"]
        lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def written(common: Mapping[str, str]) -> str:
    """Headers as lines; empty where one of them is not for all."""
    if "host" in map(str.lower, common):
        return ""
    return "".join(f"{name}: {value}\r\n" for name, value in common.items())


def _merged(common: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    said = {name.lower() for name in own}
    return {name: value for name, value in common.items() if name.lower() not in said} | dict(own)


SHORTEST_HASH: Final = 12
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_NUMBER = re.compile(r"[0-9]{2,}")


def label(task: Task) -> str:
    """Method, host and the template of the path.

    >>> template("/posts/17.json"), template("/data/part-00017.csv")
    ('/posts/{id}.json', '/data/part-{n}.csv')
    """
    asked = task.asked
    return f"{task.method} {asked.origin.scheme}://{asked.host}{template(asked.target.partition('?')[0])}"


def template(path: str) -> str:
    """A path with what counts its URLs replaced."""
    if len(path) > 300:
        path = path[:300] + "…"
    found = _EXTENSION.search(path)
    end = found[0] if found else ""
    folder, slash, last = path.removesuffix(end).rpartition("/")
    return f"{_folders(folder)}{slash}{_NUMBER.sub('{n}', _folded(last))}{end}"


@lru_cache(maxsize=1024)
def _folders(path: str) -> str:
    """The template of what is before the last part, which many URLs share."""
    return "/".join(map(_folded, path.split("/")))


def _folded(part: str) -> str:
    """What `pattern` makes of a segment; the plain ones, which are most, are told without its expressions."""
    if part.isdecimal() and part.isascii():
        return "{id}"
    return fold_path(part) if len(part) >= SHORTEST_HASH else part
