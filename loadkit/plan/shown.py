"""Values as they may be shown: a repr or a message goes to logs, and what is secret stays out of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

_SECRET = re.compile(r"token|secret|passw|pwd|key$|auth|credential|session|signature|^sig$|cookie", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/?#]*@")
_PAIR = re.compile(r"(?P<name>(?:^|(?<=[?&;]))[^=?&;#\s]+)=(?P<value>[^&;#\s]+)")


def masked(value: Any) -> Any:
    """The same without passwords in URLs, and without the values of what is named like a secret.

    >>> masked("http://me:pw@host/?q=tea&token=abc"), masked({"user": "me", "password": "pw"})
    ('http://***@host/?q=tea&token=***', {'user': 'me', 'password': '***'})
    """
    if isinstance(value, str):
        return _PAIR.sub(_pair, _USERINFO.sub(f"{HIDDEN}@", value))
    if isinstance(value, Mapping):
        return {name: HIDDEN if _is_secret(name) else masked(one) for name, one in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and _is_secret(value[0]):
        return value[0], HIDDEN
    if isinstance(value, list | tuple):
        return type(value)(map(masked, value)) if type(value) in (list, tuple) else value
    return value


def told(value: Any) -> str:
    """The repr of a dataclass: the fields that were said, without secrets."""
    said = [
        f"{field.name}={masked(getattr(value, field.name))!r}"
        for field in dataclasses.fields(value)
        if field.repr and not _is_default(field, getattr(value, field.name))
    ]
    return f"{type(value).__name__}({', '.join(said)})"


def _pair(found: re.Match[str]) -> str:
    return f"{found['name']}={HIDDEN}" if _is_secret(found["name"]) else found[0]


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and bool(_SECRET.search(name))


def _is_default(field: dataclasses.Field[Any], value: object) -> bool:
    # not every value can be compared: an array in `data` has no truth
    return value is field.default or (isinstance(value, int | float | str | tuple) and value == field.default)
