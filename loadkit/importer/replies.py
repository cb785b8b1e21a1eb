"""What replies hand out: each value in their JSON, headers, cookies and forms, with the expression that finds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from loadkit.importer.har import Exchange
from loadkit.importer.html_fields import fields
from loadkit.importer.kept import Kept
from loadkit.importer.source import expression

_IDENTITY: Final = re.compile(r"id|uuid|guid|pk|key|code|slug|number|no|ref|token|sku", re.IGNORECASE)
"""Names that say of a value that it stands for something, but not for what."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a value comes from that a reply hands out."""

    request: int
    """The position of the request whose reply has it."""
    name: str
    """What the reply calls it."""
    parent: str
    """What the reply, or the path of the request, calls that which the value belongs to."""
    value: Any
    code: str
    """The expression that finds it, in which `reply` is the reply."""
    needs: str = ""
    """The module or function that it takes: `unquote`, `fields`."""

    @property
    def words(self) -> frozenset[str]:
        """What it is about, in singular."""
        is_general = bool(_IDENTITY.fullmatch(self.name))
        return singular(self.parent if is_general else self.name)

    @property
    def is_identity(self) -> bool:
        """True if its name says that it stands for something."""
        return any(map(_IDENTITY.fullmatch, _WORD.findall(self.name)))


def singular(name: str) -> frozenset[str]:
    """The words of a name without `id` and the like, and without the `s` of a plural."""
    words = (word.lower() for word in _WORD.findall(name))
    return frozenset(word.removesuffix("s") for word in words if not _IDENTITY.fullmatch(word))


def is_plain(value: Any) -> bool:
    """True for numbers and words that many things may have, and for times: they are handed out by chance."""
    text = str(value)
    if _TIME.fullmatch(text):
        return True
    has_digits, has_letters = any(map(str.isdigit, text)), any(map(str.isalpha, text))
    return not (
        len(text) >= 16 or (len(text) >= 8 and has_digits and has_letters) or (len(text) >= 5 and text.isdigit())
    )


def handed_out(position: int, kept: Kept) -> Iterator[Source]:
    """The values of a reply, and of the cookies that came with it and with what led to it."""
    last = kept.last
    about = next((part for part in reversed(urlsplit(kept.exchange.url).path.split("/")) if part.isalpha()), "")
    for one in dict.fromkeys((kept.exchange, last)):
        yield from _cookies(position, one)
    for name, value in last.reply_headers:
        if name.lower() not in ("set-cookie", "location"):
            yield Source(
                request=position, name=name, parent=about, value=value, code=f"reply.headers[{expression(name)}]"
            )
        if name.lower() == "location":
            yield from _location(position, value, about)
    if "json" in last.reply_type:
        yield from _in_json(position, last, about)
    elif "html" in last.reply_type:
        page = last.reply_body().decode(errors="replace")
        for name, value in fields(page).items():
            code = f"fields(reply.text)[{expression(name)}]"
            yield Source(request=position, name=name, parent="", value=value, code=code, needs="fields")


LARGEST_REPLY: Final = 20_000_000
"""Bytes of JSON that are searched for what they hand out: as objects they take ten times as much memory."""

_literal = lru_cache(maxsize=4096)(expression)


def _cookies(position: int, one: Exchange) -> Iterator[Source]:
    for name, value in one.reply_headers:
        # Chromium joins several by line breaks
        for line in value.split("\n") if name.lower() == "set-cookie" else ():
            called, _, content = line.partition(";")[0].strip().partition("=")
            code = f"http.cookies[{expression(called)}]"
            yield Source(request=position, name=called, parent="", value=content, code=code)
            if unquote(content) != content:
                code = f"unquote({code})"
                yield Source(
                    request=position, name=called, parent="", value=unquote(content), code=code, needs="unquote"
                )


def _location(position: int, value: str, about: str) -> Iterator[Source]:
    yield Source(request=position, name="location", parent="", value=value, code='reply.headers["Location"]')
    last = urlsplit(value).path.rpartition("/")[2]
    if last:
        code = 'reply.headers["Location"].rpartition("/")[2]'
        yield Source(request=position, name="id", parent=about, value=unquote(last), code=code)


def _in_json(position: int, one: Exchange, about: str) -> Iterator[Source]:
    body = one.reply_body()
    try:
        found = msgspec.json.decode(body) if len(body) <= LARGEST_REPLY else None
    except (msgspec.DecodeError, RecursionError):
        return
    waiting: list[tuple[Any, str, str, str]] = [(found, "", about, "reply.json()")]
    while waiting:
        value, name, parent, code = waiting.pop()
        if isinstance(value, dict):
            inside = [(one, key, name or parent, f"{code}[{_literal(key)}]") for key, one in value.items()]
            waiting += reversed(inside)
        elif isinstance(value, list):
            waiting += [(value[k], name, parent, f"{code}[{k}]") for k in reversed(range(len(value)))]
        elif isinstance(value, str | int) and not isinstance(value, bool):
            yield Source(request=position, name=name, parent=parent, value=value, code=code)
