"""What the demo server answers, path by path, without any I/O."""

from __future__ import annotations

import functools
import json
import random
import re
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote

from loadkit.server.demo.replies import BINARY, Reply, in_json, refusal
from loadkit.server.demo.state import State

LONGEST_DELAY = 60
LARGEST_BODY = 10_000_000
LAST_ITEM = 1000
FLAKY_EVERY = 50
ORDER_DELAY = 0.002
LONGEST_TEXT = 100
BEARER = b"Bearer token-of-"

_NAMES = (
    "Green tea", "Black tea", "Mint tea", "Teapot", "Tea cup",
    "Coffee", "Coffee mill", "Cocoa", "Honey", "Oat biscuits",
)  # fmt: skip
_SECONDS = re.compile(r"[0-9]{0,5}\.?[0-9]{1,9}")


class Asked(NamedTuple):
    """The parts of a request that an answer may depend on, and the server's memory."""

    state: State
    argument: str
    query: bytes
    body: bytes
    authorization: bytes


class RefusedError(Exception):
    """The request cannot be served, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = refusal(status, message)


def _item(number: int) -> dict[str, object]:
    name = _NAMES[(number - 1) % len(_NAMES)]
    return {"id": number, "sku": f"SKU-{number:04}", "name": name, "price": round(1.95 + 0.1 * number, 2)}


_SHELF = [_item(number) for number in range(1, len(_NAMES) + 1)]

WELCOME = in_json({"status": "ok", "service": "loadkit demo"})
HEALTHY = in_json({"status": "ok"})
ITEMS = in_json({"items": _SHELF})


def one_item(asked: Asked) -> Reply:
    number = _whole(asked.argument)
    if number is None or not 1 <= number <= LAST_ITEM:
        raise RefusedError(404, f"there is no item {asked.argument!r}; they are numbered 1 to {LAST_ITEM}")
    return in_json(_item(number))


def search(asked: Asked) -> Reply:
    asked.state.searches += 1
    words = _words(asked.query)
    return in_json({"query": words, "items": _hits(words)}, delay=search_delay(asked.state.searches))


def search_delay(nth: int) -> float:
    """The seconds which the n-th search takes, counted from 1."""
    if nth % 100 == 0:
        return 0.100
    return 0.020 if nth % 10 == 0 else 0.005


def _hits(words: str) -> list[dict[str, object]]:
    hits = [item for item in _SHELF if words and words.lower() in str(item["name"]).lower()]
    return [{key: item[key] for key in ("sku", "name", "price")} for item in hits]


def _words(query: bytes) -> str:
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=100).get("q", [""])[0]
    except ValueError:
        raise RefusedError(400, "too many fields in the query; write it like /search?q=tea") from None


def order(asked: Asked) -> Reply:
    sku = _text(asked.body, "order", "sku", '{"sku": "SKU-0001"}')
    return in_json({"order": asked.state.order(sku), "sku": sku}, 201, ORDER_DELAY)


def login(asked: Asked) -> Reply:
    user = _text(asked.body, "login", "user", '{"user": "ann", "password": "any"}')
    return in_json({"token": f"token-of-{quote(user)}"})


def me(asked: Asked) -> Reply:
    if not asked.authorization.startswith(BEARER):
        raise RefusedError(401, "log in first: POST /login, and send its token as Authorization: Bearer TOKEN")
    return in_json({"user": unquote(asked.authorization.removeprefix(BEARER).decode("latin-1"))})


def _text(body: bytes, what: str, name: str, example: str) -> str:
    """A text that is wanted in the JSON of a body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, f"the body is not JSON; write it like {example}") from None
    if not isinstance(found, dict) or name not in found:
        raise RefusedError(400, f"the {what} has no {name}; write it like {example}")
    text = found[name]
    if not isinstance(text, str) or not 1 <= len(text) <= LONGEST_TEXT:
        raise RefusedError(400, f"the {name} must be a text of 1 to {LONGEST_TEXT} characters")
    return text


def one_order(asked: Asked) -> Reply:
    number = _whole(asked.argument)
    if number is None or number not in asked.state.orders:
        raise RefusedError(404, f"there is no order {asked.argument!r}")
    return in_json({"order": number, "sku": asked.state.orders[number]})


def delayed(asked: Asked) -> Reply:
    seconds = _seconds(asked.argument, "/delay/0.05")
    return in_json({"delayed": seconds}, delay=seconds)


def exponential(asked: Asked) -> Reply:
    mean = _seconds(asked.argument, "/exponential/0.01")
    seconds = min(LONGEST_DELAY, random.expovariate(1 / mean)) if mean else 0.0
    return in_json({"delayed": seconds, "mean": mean}, delay=seconds)


def _seconds(text: str, example: str) -> float:
    seconds = float(text) if _SECONDS.fullmatch(text) else None
    if seconds is None or seconds > LONGEST_DELAY:
        raise RefusedError(400, f"cannot wait {text!r} seconds; write 0 to {LONGEST_DELAY}, like {example}")
    return seconds


def sized(asked: Asked) -> Reply:
    size = _whole(asked.argument)
    if size is None or size > LARGEST_BODY:
        raise RefusedError(400, f"cannot send {asked.argument!r} bytes; write 0 to {LARGEST_BODY}, like /bytes/1000")
    return Reply(200, _filler()[:size], BINARY)


def chunked(asked: Asked) -> Reply:
    return sized(asked)._replace(chunked=True)


@functools.cache
def _filler() -> memoryview:
    # A pattern that shows lost and swapped pieces; made when first wanted, since importing must cost nothing.
    return memoryview(b"".join(b"%015d\n" % start for start in range(0, LARGEST_BODY, 16)))


def status(asked: Asked) -> Reply:
    code = _whole(asked.argument)
    if code is None or not 200 <= code <= 599:
        # A 1xx is no final reply: the client would wait for another one for ever.
        raise RefusedError(400, f"cannot answer with status {asked.argument!r}; write 200 to 599, like /status/503")
    return Reply(code) if code == 205 else in_json({"status": code}, code)  # RFC 9110, 15.3.6: 205 has no content


def flaky(asked: Asked) -> Reply:
    asked.state.flaky_requests += 1
    if asked.state.flaky_requests % FLAKY_EVERY == 0:
        raise RefusedError(503, f"each {FLAKY_EVERY}th request fails here")
    return HEALTHY


def stats(asked: Asked) -> Reply:
    return in_json(asked.state.counts.as_json())


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
