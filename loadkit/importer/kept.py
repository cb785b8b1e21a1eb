"""Which of the requests that a browser made a load is to make, too, and why the others are left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from loadkit.importer.har import Exchange, Har
from loadkit.plan.endpoint import METHODS
from loadkit.plan.units import show_count, show_size

LARGEST_BODY: Final = 1_000_000
"""Bytes of a request's body that are written into a file."""

_FILES: Final = frozenset({"image", "font", "stylesheet", "script", "media", "manifest", "texttrack", "favicon"})
_FILE_TYPE: Final = re.compile(r"(image|font|audio|video)/.*|text/css|(text|application)/(x-)?javascript|.*font.*")
_FILE_ENDING: Final = re.compile(r"\.(css|m?js|map|png|jpe?g|gif|svg|webp|avif|ico|woff2?|[to]tf|eot|mp[34]|webm)$")
MOST_NAMED: Final = 5
"""Other hosts that are named."""
_NEAR: Final = 10
"""How many requests further on a browser may have followed a redirect, for others are under way at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A request that is sent, and what it ended with."""

    exchange: Exchange
    last: Exchange
    """What its redirects led to, which a session follows by itself; the same where it was none."""
    is_followed: bool
    """False for a redirect that is not to be followed."""
    is_own: bool
    """It goes to the host that the scenario is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is sent, to where, and what is left out."""

    base_url: str
    kept: Sequence[Kept]
    left_out: Sequence[str]


def select(har: Har, *, hosts: Collection[str] = (), static: bool = False) -> Selection:
    """The requests to the host of the first page, and to others that are named; without files unless asked for."""
    usable = [one for one in har.exchanges if not _unusable(one)]
    pages = [one for one in usable if one.kind == "document" or one.reply_type == "text/html"]
    base_url = _origin((pages or usable)[0].url) if usable else ""
    near = [one for one in usable if _origin(one.url) == base_url or not {*_names(one)}.isdisjoint(hosts)]
    wanted = near if static else [one for one in near if not _is_file(one)]
    kept = _without_followed(wanted, base_url)
    far = Counter(_names(one)[1] for one in usable if one not in near)
    left = [
        show_count(count, *reason) for reason, count in Counter(filter(None, map(_unusable, har.exchanges))).items()
    ]
    if far:
        named = ", ".join(f"{host} {count:,}" for host, count in far.most_common(MOST_NAMED))
        more = ", and others" if len(far) > MOST_NAMED else ""
        left.append(f"{show_count(far.total(), 'request')} to other hosts ({named}{more}); --host keeps those of one")
    if files := len(near) - len(wanted):
        left.append(f"{show_count(files, 'static file')}; --static keeps them")
    if followed := len(wanted) - len(kept):
        left.append(f"{show_count(followed, 'request')} that redirects led to: a session follows them by itself")
    if har.broken:
        left.append(f"{show_count(len(har.broken), 'broken entry', 'broken entries')}, the first is {har.broken[0]}")
    return Selection(base_url=base_url, kept=kept, left_out=left)


def _unusable(one: Exchange) -> tuple[str, str] | None:
    """What a request is that is nothing to be sent, in singular and plural; None for others."""
    parts = urlsplit(one.url)
    scheme = parts.scheme.lower()
    if scheme in ("ws", "wss") or one.kind == "websocket" or one.status == 101:
        return "websocket", "websockets"
    if scheme not in ("http", "https") or not parts.hostname:
        return "URL that is not HTTP", "URLs that are not HTTP"
    if one.is_cached:
        return "reply from the browser's cache", "replies from the browser's cache"
    if one.kind == "preflight" or one.is_preflight:
        return "preflight of the browser", "preflights of the browser"
    if one.kind == "eventsource" or one.reply_type == "text/event-stream":
        return "stream of events", "streams of events"
    if one.method not in METHODS:
        return "request with a method of its own", "requests with a method of their own"
    if len(one.body) > LARGEST_BODY:
        return f"request of more than {show_size(LARGEST_BODY)}", f"requests of more than {show_size(LARGEST_BODY)}"
    return None if 200 <= one.status <= 599 else ("request without a reply", "requests without a reply")


def _names(one: Exchange) -> tuple[str, str]:
    """The host of a request without and with its port."""
    parts = urlsplit(one.url)
    return (parts.hostname or "").lower(), parts.netloc.rpartition("@")[2].lower()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2].lower()}"


def _is_file(one: Exchange) -> bool:
    if one.method not in ("GET", "HEAD") or one.kind in ("document", "fetch", "xhr"):
        return False
    is_called_so = _FILE_ENDING.search(urlsplit(one.url).path.lower())
    return one.kind in _FILES or bool(is_called_so or _FILE_TYPE.fullmatch(one.reply_type))


def _without_followed(wanted: Sequence[Exchange], base_url: str) -> list[Kept]:
    """A redirect with what it led to, which a session asks for by itself."""
    kept, followed = [], set[int]()
    for k, one in enumerate(wanted):
        if one.number in followed:
            continue
        led = _led_to(k, wanted)
        followed |= {wanted[n].number for n in led}
        kept.append(
            Kept(
                exchange=one,
                last=wanted[led[-1]] if led else one,
                is_followed=bool(led) or not _redirect(one),
                is_own=_origin(one.url) == base_url,
            )
        )
    return kept


def _led_to(position: int, wanted: Sequence[Exchange]) -> list[int]:
    """The positions of the requests that a redirect, and those it led to, were followed by."""
    led: list[int] = []
    while target := _redirect(wanted[position]):
        near = range(position + 1, min(position + 1 + _NEAR, len(wanted)))
        found = next((n for n in near if wanted[n].url == target), None)
        if found is None:
            break
        position = found
        led.append(found)
    return led


def _redirect(one: Exchange) -> str:
    """Where a reply leads to; empty where it is no redirect."""
    return urljoin(one.url, one.location).partition("#")[0] if 300 <= one.status < 400 and one.location else ""
