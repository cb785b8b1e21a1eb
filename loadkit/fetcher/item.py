"""One URL on its way: what is asked, how often it was, and when it will be again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadkit.fetcher.plan import method, sendable
from loadkit.fetcher.seen import digest_of
from loadkit.fetcher.url import Address, NotAUrl, address
from loadkit.plan.endpoint import headers as checked_headers
from loadkit.plan.errors import UsageError
from loadkit.wire.base import HARMLESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadkit.fetcher.sources import Wanted

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
IDEMPOTENT: Final = SAFE | {"PUT", "DELETE"}


class Item:
    """One URL of the list. It belongs to one thread at a time: the reader, the schedule, the thread that fetches it."""

    __slots__ = (
        "address",
        "asked",
        "attempts",
        "body",
        "disk",
        "due",
        "headers",
        "hops",
        "is_rewritten",
        "key",
        "method",
        "position",
        "row",
        "sent",
        "started",
        "status",
        "throttled",
        "was_away",
        "where",
    )

    def __init__(self, position: int, where: str, asked: Address, verb: str, key: int) -> None:
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
        self.is_rewritten = False
        """A redirect has made a GET without a body of it."""
        self.was_away = False
        """A redirect has led to another host, port or scheme, which decides on all that follow."""

    def start_over(self) -> None:
        """The next attempt begins where the list says."""
        self.address = self.asked
        self.hops = 0
        self.sent = 0
        self.is_rewritten = False
        self.was_away = False

    def follow(self, there: Address, status: int) -> None:
        """Go where a redirect leads, as browsers do (RFC 9110, 15.4)."""
        self.address = there
        self.hops += 1
        self.was_away = self.was_away or there.origin != self.asked.origin
        if self.method not in ("GET", "HEAD") and (status == 303 or (status in (301, 302) and self.method == "POST")):
            self.is_rewritten = True

    @property
    def verb(self) -> str:
        """The method that is sent now."""
        return "GET" if self.is_rewritten else self.method

    def is_plain(self) -> bool:
        """Whether there is nothing to be sent for it but what is sent for all."""
        return (
            self.headers is None
            and self.body is None
            and not self.asked.credentials
            and self.address is self.asked
            and self.method in ("GET", "HEAD")
        )


def made(wanted: Wanted, position: int, default: str) -> Item:
    """The item a row asks for; raises `NotAUrl` saying why it cannot be one."""
    there = address(wanted.url)
    try:
        verb = default if wanted.method is None else method(wanted.method)
        found = None
        if wanted.headers:
            # as they are: a list may be somebody else's, and must not read our environment
            found = sendable(checked_headers(wanted.headers))
    except UsageError as error:
        raise NotAUrl(str(error)) from None
    item = Item(position, wanted.where, there, verb, 0)
    item.headers, item.body = found, wanted.body
    if wanted.is_json and not (found and "content-type" in map(str.lower, found)):
        item.headers = {**(found or {}), "Content-Type": "application/json"}
    item.key = _key(item)
    return item


def _key(item: Item) -> int:
    """By what two requests are the same: all of what is asked, but not the password with which."""
    asked = item.asked
    if item.method == "GET" and item.body is None and not item.headers and not asked.user:
        return digest_of(asked.url)
    told = sorted((name.lower(), value) for name, value in (item.headers or {}).items())
    return digest_of(f"{item.method} {asked.user}@{asked.url} {told!r} {item.body!r}")


def message(item: Item, common: Mapping[str, str], written: str = "") -> bytes:
    """The request as it goes over the wire; `written` is `common` as lines, if they may be taken as they are."""
    if written and item.is_plain():
        there = item.address
        return f"{item.method} {there.target} HTTP/1.1\r\nHost: {there.host}\r\n{written}\r\n".encode("latin-1")
    there = item.address
    away = item.was_away
    told = _merged(common, item.headers) if item.headers else common
    lines = [f"{item.verb} {there.target} HTTP/1.1"]
    if away or "host" not in map(str.lower, told):
        lines.append(f"Host: {there.host}")
    for name, value in told.items():
        if not away or name.lower() in HARMLESS:
            lines.append(f"{name}: {value}")
    if item.asked.credentials and not away and "authorization" not in map(str.lower, told):
        lines.append(f"Authorization: {item.asked.credentials}")
    if not item.is_rewritten and (item.body is not None or item.method in ("POST", "PUT", "PATCH")):
        content = item.body or b""
        if away and item.headers:
            lines += [f"{name}: {value}" for name, value in item.headers.items() if name.lower() == "content-type"]
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
