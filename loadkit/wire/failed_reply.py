"""What is shown of a reply that failed its request: enough to see why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.plan.redact import HIDDEN, is_secret, redact_message
from loadkit.wire.charsets import is_charset
from loadkit.wire.decode import DecodeError, Decoder, codings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadkit.wire.base import Request

ERRORS: Final = 400
"""From this status on the beginning of a body is kept, even if no check looks at it."""
KEPT: Final = 1000
"""Bytes of it that are kept then, and characters that are shown."""
TELLING: Final = ("content-type", "location", "retry-after", "www-authenticate", "allow", "x-request-id")
_MEMBER: Final = re.compile(r'"([\w.-]{1,100})"\s*:\s*("(?:[^"\\]|\\.)*"?|[\w.+-]+)')
"""A member of JSON, perhaps cut off."""
MAX_VALUE: Final = 200
"""Characters of a header's value."""


class FailedReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply that failed its request; secrets are masked."""

    method: str
    url: str
    """Without its query."""
    status: int
    headers: dict[str, str]
    """The telling ones, by their names in lower case."""
    body: str
    """Its beginning, decoded; what is no text is told by its size."""


def failed_reply(request: Request, head: bytes, body: bytes) -> FailedReply:
    """What is shown of a reply: its head, and the first bytes of its body as they came."""
    headers = headers_of(head)
    return FailedReply(
        method=request.method,
        url=request.url,
        status=int(head[9:12]),
        headers={name: redact_message(headers[name][:MAX_VALUE]) for name in TELLING if name in headers},
        body=redact_message(body_text(body, headers, KEPT)),
    )


def headers_of(head: bytes) -> dict[str, str]:
    """The headers of a request or reply, by their names in lower case."""
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def body_text(body: bytes, headers: Mapping[str, str], most: int) -> str:
    """The beginning of a body, decoded, with its secrets in JSON masked; a word on what is no text."""
    coding, kind = headers.get("content-encoding", ""), headers.get("content-type", "")
    try:
        codings = codings_of(coding)
        # the first piece alone: it is more than is shown
        content = next(Decoder(codings).feed(body), b"") if codings and body else body
    except DecodeError as error:
        return f"({error})"
    charset = re.search(r"charset=\"?([\w.-]+)", kind)
    text = content[: 4 * most].decode(charset[1] if charset and is_charset(charset[1]) else "utf-8", "replace")
    # cut within a character, its last one may be a replacement
    if "\0" in text or text.count("\ufffd") > 1:
        return f"(no text: it begins {content[:20]!r})"
    return _MEMBER.sub(_masked, text[:most])


def _masked(found: re.Match[str]) -> str:
    return f'"{found[1]}": "{HIDDEN}"' if is_secret(found[1]) else found[0]
