"""An endpoint with placeholders as bytes with gaps: prepared once by `requests`, filled for each row.

The endpoint is encoded with marks in place of its placeholders, and what comes out is cut at the marks. Filling writes
each value the way of its place: 1 us, against 150 us for preparing the request anew. Where that cannot be right (an
`auth` that signs the request) or would take a rule of `requests` of its own (a header that begins with a blank, a body
that is empty), the request is prepared anew: slow, and the measure for the fast way in `tests/wire/test_template`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import quote, quote_plus

from loadkit.plan.errors import FeedError, UsageError, raised
from loadkit.plan.placeholders import Encoded, Place, as_json, columns, in_place, in_words, put_in, with_headers
from loadkit.plan.redact import HIDDEN, redact
from loadkit.wire.base import Request, WithPayload
from loadkit.wire.encode import encode

if TYPE_CHECKING:
    from loadkit.plan.data import Row
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.scenario import Scenario

Fill: TypeAlias = "Callable[[Row], Request]"
"""Makes a request of a row; `FeedError` when a value cannot be written where it belongs."""

Write: TypeAlias = Callable[[Any], bytes]

# what every requests lets through in a header; the rest is for it to judge
_PLAIN_HEADER: Final = re.compile(r"[\x21-\x7e\xa1-\xff][\x20-\x7e\xa1-\xff]*").fullmatch
_LENGTH: Final = re.compile(rb"(?<=\r\nContent-Length: )[0-9]+(?=\r\n)", re.IGNORECASE)


END_OF_HEAD: Final = b"\r\n\r\n"


class Unusual(ValueError):
    """A value that is not written the fast way."""


def filler(endpoint: Endpoint, scenario: Scenario, *, source: str, keep: int | None = None) -> Fill:
    """A function that fills the endpoint's placeholders from a row of `source`, which messages name.

    `keep` is that of `encode`. Raises `UsageError` for what `requests` cannot prepare.
    """
    endpoint = with_headers(endpoint, scenario.headers)
    slow = _slowly(endpoint, scenario, source, keep)
    # two strings become the same header each time; an object may look at the request it signs
    if endpoint.auth is not None and not isinstance(endpoint.auth, tuple):
        return slow
    return _fast(_cut(endpoint, scenario, keep), slow)


def _slowly(endpoint: Endpoint, scenario: Scenario, source: str, keep: int | None) -> Fill:
    def fill(row: Row) -> Request:
        try:
            filled = endpoint.replace(**put_in(endpoint, in_place(row)), feed=None)
            return encode(filled, scenario, is_filled=True, keep=keep)
        except (UsageError, ValueError, TypeError) as error:
            raise FeedError(f"{source}: cannot fill {endpoint.label} with {_used(row, endpoint)}: {error}") from None
        except (Exception, SystemExit) as error:
            reason = raised(error)
            raise FeedError(f"{source}: cannot fill {endpoint.label} with {_used(row, endpoint)}: {reason}") from error

    return fill


def _used(row: Row, endpoint: Endpoint) -> str:
    """The values of a row that fill an endpoint, as far as they can be shown."""
    hidden = _hidden(endpoint)
    try:
        used = {column: HIDDEN if column in hidden else row[column] for column in sorted(columns(endpoint))}
        return repr(redact(used))
    except (Exception, SystemExit):  # noqa: BLE001 - likewise
        return "a row that cannot be shown"


def _hidden(endpoint: Endpoint) -> set[str]:
    """The columns that fill a header, or a place with the name of a secret, whatever they are called themselves."""
    fields = put_in(endpoint, lambda column, _: f"<{column}>")
    whole, shown = repr(fields), repr(redact({**fields, "headers": None}))
    return {column for column in columns(endpoint) if whole.count(f"<{column}>") > shown.count(f"<{column}>")}


class Gap(NamedTuple):
    """A place in the bytes and what fills it."""

    column: str
    write: Write


class Cut(NamedTuple):
    """A message cut at its marks: formats with `%b` at each gap, the gaps in order; head and body."""

    like: Request
    head: bytes
    gaps: tuple[Gap, ...]
    body: bytes
    body_gaps: tuple[Gap, ...]
    length_at: int | None
    """Which gap of the head is the length of the body; None if the body is the same for all rows."""


def _fast(cut: Cut, slow: Fill) -> Fill:
    like, head, gaps, body, body_gaps, length_at = cut

    def fill_head(row: Row) -> Request:
        try:
            return WithPayload(like, head % tuple([write(row[column]) for column, write in gaps]))
        except (Exception, SystemExit):  # noqa: BLE001 - the slow way says what it was
            return slow(row)

    def fill(row: Row) -> Request:
        try:
            content = body % tuple([write(row[column]) for column, write in body_gaps])
            values = [write(row[column]) for column, write in gaps]
        except (Exception, SystemExit):  # noqa: BLE001 - likewise
            return slow(row)
        if not content:
            return slow(row)
        values.insert(cast(int, length_at), b"%d" % len(content))
        return WithPayload(like, head % tuple(values) + content)

    return fill_head if length_at is None else fill


def _cut(endpoint: Endpoint, scenario: Scenario, keep: int | None) -> Cut:
    stem = f"loadkit{secrets.token_hex(12)}"
    found: list[tuple[str, Place]] = []

    def mark(column: str, place: Place) -> str:
        found.append((column, place))
        return f"{stem}{len(found) - 1:06}z"

    like = encode(endpoint.replace(**put_in(endpoint, mark), feed=None), scenario, is_filled=True, keep=keep)
    payload = like.payload
    for number, (_, place) in enumerate(found):
        if place is Place.WHOLE_JSON:
            payload = payload.replace(b'"%b%06dz"' % (stem.encode(), number), b"%b%06dz" % (stem.encode(), number))
    marks = re.compile(rb"%b([0-9]{6})z" % stem.encode())
    gaps = [Gap(column, WAYS[place]) for column, place in found]
    head, _, body = payload.partition(END_OF_HEAD)
    body_form, body_gaps = _pieces(body, marks, gaps)
    if not body_gaps:
        form, head_gaps = _pieces(payload, marks, gaps)
        return Cut(like, form, head_gaps, b"", (), None)
    length = cast("re.Match[bytes]", _LENGTH.search(head + END_OF_HEAD))
    before, before_gaps = _pieces(head[: length.start()], marks, gaps)
    after, after_gaps = _pieces(head[length.end() :] + END_OF_HEAD, marks, gaps)
    return Cut(like, before + b"%b" + after, before_gaps + after_gaps, body_form, body_gaps, len(before_gaps))


def _pieces(message: bytes, marks: re.Pattern[bytes], gaps: list[Gap]) -> tuple[bytes, tuple[Gap, ...]]:
    """A format with `%b` for each mark, and what fills them."""
    pieces = marks.split(message)
    form = b"%b".join(piece.replace(b"%", b"%%") for piece in pieces[::2])
    return form, tuple(gaps[int(number)] for number in pieces[1::2])


def _in_url(value: Any) -> bytes:
    text = value if type(value) is str else in_words(value)
    # numbers and words: 0.1 us, against 0.6 for finding out that there is nothing to encode
    if text.isascii() and text.isalnum():
        return text.encode()
    if isinstance(value, Encoded):
        return value.encode("ascii")
    return quote(text, safe="").encode()


def _as_parameter(value: Any) -> bytes:
    text = value if type(value) is str else in_words(value)
    if text.isascii() and text.isalnum():
        return text.encode()
    return quote_plus(text).encode()


def _in_header(value: Any) -> bytes:
    text = value if type(value) is str else in_words(value)
    if not _PLAIN_HEADER(text):
        raise Unusual
    return text.encode("latin-1")


def _in_json(value: Any) -> bytes:
    return encode_basestring_ascii(in_words(value))[1:-1].encode()


def _whole_json(value: Any) -> bytes:
    # 0.2 us for text, against 2 for asking dumps
    if type(value) is str:
        return encode_basestring_ascii(value).encode()
    return json.dumps(as_json(value), allow_nan=False).encode()


def _as_text(value: Any) -> bytes:
    return in_words(value).encode()


WAYS: Final[dict[Place, Write]] = {
    Place.URL: _in_url,
    Place.PARAMETER: _as_parameter,
    Place.HEADER: _in_header,
    Place.JSON: _in_json,
    Place.WHOLE_JSON: _whole_json,
    Place.TEXT: _as_text,
}
