"""Placeholders like `{id}` in an endpoint: where they are, and putting something else there.

A placeholder is a name in single braces: letters, digits, `_`, `-` and `.`, beginning with a letter or `_`. Any other
brace stays what it is, so `{"a": 1}` and `{ user { name } }` survive; `{{name}}` stands for the text `{name}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import quote, urlsplit

from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.plan.data import Row

_NAME = r"[^\W\d][\w.-]*"
_PLACEHOLDER = re.compile(rf"\{{\{{(?P<literal>{_NAME})\}}\}}|\{{(?P<column>{_NAME})\}}")
_NOT_IN_A_TARGET = re.compile(r"[^\x21-\x7e]|#")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Place(Enum):
    """A kind of place, each with a way of its own to write a value."""

    URL = auto()
    """In the path or query as they were written: percent-encoded, `/` and `?` included."""
    PARAMETER = auto()
    """A value in `params` or of a form, which `requests` encodes."""
    HEADER = auto()
    JSON = auto()
    """A part of a JSON string."""
    WHOLE_JSON = auto()
    """All of a JSON string: a number, `true` or an object in the row is written as that."""
    TEXT = auto()
    """Text of a body, as it is."""


class Encoded(str):
    """Text that is percent-encoded already, and stands in a URL as it is, with `/` and `?`.

    Raises `ValueError` for what would end the line it stands in.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Text of printable ASCII without blanks."""
        if _NOT_IN_A_TARGET.search(text):
            raise ValueError(f"{text!r} is not percent-encoded")
        return super().__new__(cls, text)


Put: TypeAlias = Callable[[str, Place], Any]
"""Given a column and a place, what to write there."""


def put_in(endpoint: Any, put: Put) -> dict[str, Any]:
    """The fields of an endpoint that may hold placeholders, with something put in their stead."""
    form = Place.TEXT if endpoint.files is not None else Place.PARAMETER
    return {
        "path": _text(endpoint.path, Place.URL, put),
        "params": _values(endpoint.params, Place.URL, Place.PARAMETER, put),
        "headers": {name: _text(value, Place.HEADER, put) for name, value in endpoint.headers.items()},
        "json": _in_json(endpoint.json, put),
        "data": _values(endpoint.data, Place.TEXT, form, put),
        "files": _files(endpoint.files, put),
    }


def columns(endpoint: Any) -> frozenset[str]:
    """The names in an endpoint's placeholders."""
    found: set[str] = set()

    def note(column: str, _: Place) -> str:
        found.add(column)
        return ""

    put_in(endpoint, note)
    return frozenset(found)


def check_unfed(endpoint: Any) -> None:
    """Refuse a placeholder that nothing fills; `UsageError`."""
    if found := sorted(columns(endpoint)):
        raise UsageError(
            f"{endpoint.label} has no feed to fill {{{found[0]}}}; give it one, like feed=rows('users.csv'), or the "
            f"scenario a setup that returns it, or write {{{{{found[0]}}}}} for the text"
        )


def check_plain_headers(headers: Mapping[str, str], *, whose: str) -> None:
    """Refuse a placeholder in headers that no row fills; `UsageError`."""
    for name, value in headers.items():
        if (found := _PLACEHOLDER.search(value)) and (column := found["column"]):
            raise UsageError(
                f"nothing fills {{{column}}} in the header {name} of {whose}; give it a setup that returns "
                f"{{'{column}': ...}}, or the header to an endpoint with a feed, or write {{{{{column}}}}} for the text"
            )


def plain_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers without placeholders, `{{name}}` as the text that it stands for."""
    return {name: _text(value, Place.HEADER, _unfilled) for name, value in headers.items() if not _is_open(value)}


def plain(endpoint: Any) -> dict[str, Any]:
    """The fields of an endpoint without a feed in which `{{name}}` stands for text, with that text."""
    fields = put_in(endpoint, _unfilled)
    return {name: value for name, value in fields.items() if _has_literals(getattr(endpoint, name))}


def with_headers(endpoint: Any, headers: Mapping[str, str]) -> Any:
    """An endpoint with those headers of its scenario that have placeholders, unless it has them itself."""
    own = {name.lower() for name in endpoint.headers}
    more = {name: value for name, value in headers.items() if name.lower() not in own and _is_open(value)}
    return endpoint.replace(headers={**more, **endpoint.headers}) if more else endpoint


def header_columns(headers: Mapping[str, str]) -> frozenset[str]:
    """The names in the placeholders of headers."""
    return frozenset(
        found["column"] for value in headers.values() for found in _PLACEHOLDER.finditer(value) if found["column"]
    )


def filled_headers(headers: Mapping[str, str], row: Row) -> dict[str, str]:
    """Those headers that have placeholders, filled."""
    put = in_place(row)
    return {name: _text(value, Place.HEADER, put) for name, value in headers.items() if _is_open(value)}


def _is_open(text: str) -> bool:
    return any(found["column"] for found in _PLACEHOLDER.finditer(text))


def _unfilled(column: str, _: Place) -> str:
    return f"{{{column}}}"


def _has_literals(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, Mapping):
        return any(map(_has_literals, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_literals, value))


def check_fed(endpoint: Any) -> None:
    """Say what of an endpoint with a feed cannot be filled; `UsageError`."""
    if not endpoint.path.startswith("/") and _PLACEHOLDER.search(urlsplit(endpoint.path).netloc):
        raise UsageError(f"{endpoint.label} has a placeholder in its host; all rows go to one host")
    if lone := _LONE_PERCENT.search(endpoint.path):
        near = endpoint.path[lone.start() : lone.start() + 3]
        raise UsageError(f"{endpoint.label} has {near!r} in its path, which encodes nothing; write a % as %25")
    if any(hasattr(content, "read") for content in _contents(endpoint.files)):
        raise UsageError(f"{endpoint.label} has a feed and an open file; give the file's text or bytes")
    if not columns(endpoint):
        raise UsageError(f"{endpoint.label} has a feed and nowhere to put it; write a column like '/users/{{id}}'")


def in_words(value: Any) -> str:
    """A row's value as text: nothing for None, and what JSON would write for other things JSON knows."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if not isinstance(value, bool | dict | list):
        return str(value)
    import json

    return json.dumps(value)


def as_json(value: Any) -> Any:
    """A row's value where it is all of a JSON string; what JSON does not know becomes text."""
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)


def in_place(row: Row) -> Put:
    """Puts a row's values in by hand, so that `requests` makes of them what it would of any such text."""

    def put(column: str, place: Place) -> Any:
        value = row[column]
        if place is Place.WHOLE_JSON:
            return as_json(value)
        if place is not Place.URL:
            return in_words(value)
        if isinstance(value, Encoded):
            return value
        # dots too: the value '..' is a name, and not the way out of a folder; requests writes them as dots again
        return quote(in_words(value), safe="").replace(".", "%2E")

    return put


def _text(text: str, place: Place, put: Put) -> str:
    def one(found: re.Match[str]) -> str:
        column = found["column"]
        return str(put(column, place)) if column else f"{{{found['literal']}}}"

    return _PLACEHOLDER.sub(one, text)


def _values(given: Any, alone: Place, place: Place, put: Put) -> Any:
    """Text, or the values of a mapping or of pairs; a value may be a list, as `requests` has it."""
    if isinstance(given, str):
        return _text(given, alone, put)
    if isinstance(given, Mapping):
        return {name: _one_or_more(value, place, put) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return [
            (pair[0], _one_or_more(pair[1], place, put)) if isinstance(pair, list | tuple) and len(pair) == 2 else pair
            for pair in given
        ]
    return given


def _one_or_more(value: Any, place: Place, put: Put) -> Any:
    if isinstance(value, str):
        return _text(value, place, put)
    return [_one_or_more(one, place, put) for one in value] if isinstance(value, list | tuple) else value


def _in_json(value: Any, put: Put) -> Any:
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        if whole and whole["column"]:
            return put(whole["column"], Place.WHOLE_JSON)
        return _text(value, Place.JSON, put)
    if isinstance(value, dict):
        return {name: _in_json(one, put) for name, one in value.items()}
    return [_in_json(one, put) for one in value] if isinstance(value, list | tuple) else value


def _files(given: Any, put: Put) -> Any:
    """The contents: `{"file": "text"}`, or `("name.txt", "text", ...)` in place of the text; pairs of these, too."""
    if isinstance(given, Mapping):
        return {name: _content(one, put) for name, one in given.items()}
    if isinstance(given, list | tuple):
        return [(name, _content(one, put)) for name, one in given]
    return given


def _content(given: Any, put: Put) -> Any:
    if isinstance(given, str):
        return _text(given, Place.TEXT, put)
    if isinstance(given, list | tuple) and len(given) > 1 and isinstance(given[1], str):
        return (given[0], _text(given[1], Place.TEXT, put), *given[2:])
    return given


def _contents(given: Any) -> list[Any]:
    pairs = given.items() if isinstance(given, Mapping) else given or ()
    found = [one for _, one in pairs]
    return [one[1] if isinstance(one, list | tuple) and len(one) > 1 else one for one in found]
