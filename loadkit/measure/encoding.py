"""Values as JSON or MessagePack, whatever text is in them: names and messages may come from bytes that are none."""

from __future__ import annotations

from typing import Any

import msgspec


def to_json(value: object) -> bytes:
    """As JSON; lone surrogates, which no encoding has, become escapes, as in all reports."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(value))


def to_msgpack(value: object) -> bytes:
    """As MessagePack; the same holds."""
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(_encodable(value))


def _encodable(value: object) -> Any:
    return _escaped(msgspec.to_builtins(value, builtin_types=(bytes, msgspec.Raw)))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(name): _escaped(one) for name, one in value.items()}
    return [*map(_escaped, value)] if isinstance(value, list | tuple) else value
