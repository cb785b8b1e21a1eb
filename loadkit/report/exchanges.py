"""Exchanges as text, whole: the request and the reply line by line, without secrets and control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from loadkit.plan.redact import HIDDEN, is_secret, redact, redact_message
from loadkit.report.escape import visible, visible_lines
from loadkit.report.figures import show_time
from loadkit.wire.exchange_log import BODY, LoggedExchange
from loadkit.wire.failed_reply import body_text, headers_of

_PART: Final = re.compile(
    r'(?P<head>name="(?P<name>[^"\r\n]*)"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)(?P<value>.*?)(?=\r\n--|\Z)', re.DOTALL
)
"""A part of a form, perhaps cut off."""


def exchange_lines(number: int, one: LoggedExchange) -> Iterator[str]:
    """The lines of an exchange: `>` is what was sent, `<` what came."""
    came = f"status {one.status}" if one.status else "no reply"
    why = f": {visible(redact_message(one.failure))}" if one.failure else ""
    yield f"-- {number}: {one.method} {visible(one.url)}, {came} after {show_time(one.seconds)}{why}"
    if one.request:
        head, _, body = one.request.partition(b"\r\n\r\n")
        yield from _message(">", head, body, is_cut=len(body) >= BODY)
    if one.head:
        yield from _message("<", one.head, one.body, is_cut=one.is_cut)


def _message(mark: str, head: bytes, body: bytes, *, is_cut: bool) -> Iterator[str]:
    lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    for k, line in enumerate(lines):
        yield f"{mark} {visible(_header(line) if k else redact(line))}"
    yield mark
    text = body_text(body, headers_of(head), BODY)
    text = redact_message(_PART.sub(_masked_part, text), is_own=True)
    for line in visible_lines(text.removesuffix("\n")) if text else ():
        yield f"{mark} {line}".rstrip()
    if is_cut:
        yield f"{mark} ... the rest is not shown"


def _header(line: str) -> str:
    name, colon, value = line.partition(":")
    return f"{name}{colon} {HIDDEN}" if is_secret(name) else f"{name}{colon}{redact_message(value, is_own=True)}"


def _masked_part(found: re.Match[str]) -> str:
    return found["head"] + HIDDEN if is_secret(found["name"]) else found[0]
