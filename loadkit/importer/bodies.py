"""Bodies of requests as `requests` takes them: JSON, forms and multipart as values, anything else as it is."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from typing import Any, Final, cast
from urllib.parse import parse_qsl

FORM: Final = "application/x-www-form-urlencoded"


def body_arguments(content: bytes, kind: str) -> dict[str, Any]:
    """The `json`, `data` or `files` of a body of this content type; `headers` where they would not say the type."""
    main = kind.partition(";")[0].strip().lower()
    if not content:
        return {}
    try:
        if main == "application/json":
            return {"json": _in_json(content.decode())}
        if main.endswith("+json"):
            return {"headers": {"Content-Type": kind}, "json": _in_json(content.decode())}
        if main == FORM:
            return {"data": one_or_pairs(_pairs(content.decode()))}
        if main == "multipart/form-data":
            return _parts(content, kind)
    except (ValueError, RecursionError):
        pass
    headers = {"headers": {"Content-Type": kind}} if kind else {}
    return {**headers, "data": text_or_bytes(content)}


def one_or_pairs(pairs: list[tuple[str, Any]]) -> Any:
    """A mapping, where no name stands there twice."""
    return dict(pairs) if len(dict(pairs)) == len(pairs) else pairs


def text_or_bytes(content: bytes) -> str | bytes:
    """Text, where the bytes are some."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _in_json(text: str) -> Any:
    """Raises `ValueError` for what `requests` would write in another way, or not at all."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name stands there twice")
        return dict(pairs)

    found = json.loads(text, object_pairs_hook=once)
    json.dumps(found, allow_nan=False)
    if found is None:
        raise ValueError("json=None is no body")
    return found


def _pairs(text: str) -> list[tuple[str, Any]]:
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    return cast("list[tuple[str, Any]]", pairs)


def _parts(content: bytes, kind: str) -> dict[str, Any]:
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1")
    whole = message_from_bytes(head + content, policy=HTTP)
    parts = [_part(one) for one in whole.iter_parts()]
    if not parts or whole.defects:
        raise ValueError("it is not multipart")
    return {"files": one_or_pairs(parts)}


def _part(part: Message) -> tuple[str, Any]:
    name = part.get_param("name", header="content-disposition")
    if not name:
        raise ValueError("a part has no name")
    content, filename = text_or_bytes(cast(bytes, part.get_payload(decode=True))), part.get_filename()
    if filename is None:
        return str(name), (None, content)
    return str(name), (filename, content, part.get_content_type())
