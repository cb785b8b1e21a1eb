"""Which path leads to which answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import httptools

from loadkit.server.demo import answers
from loadkit.server.demo.answers import Asked, RefusedError
from loadkit.server.demo.replies import Reply, refusal
from loadkit.server.demo.state import State

Answer = Reply | Callable[[Asked], Reply]


class Route(NamedTuple):
    """A path template, the one method it takes (HEAD goes with GET), and the answer."""

    template: str
    answer: Answer
    method: bytes = b"GET"

    @property
    def allow(self) -> bytes:
        return b"GET, HEAD" if self.method == b"GET" else self.method


ROUTES = (
    Route("/", answers.WELCOME),
    Route("/health", answers.HEALTHY),
    Route("/items", answers.ITEMS),
    Route("/items/{id}", answers.one_item),
    Route("/search", answers.search),
    Route("/orders", answers.order, b"POST"),
    Route("/orders/{n}", answers.one_order),
    Route("/login", answers.login, b"POST"),
    Route("/logout", answers.HEALTHY, b"POST"),
    Route("/me", answers.me),
    Route("/delay/{seconds}", answers.delayed),
    Route("/exponential/{seconds}", answers.exponential),
    Route("/bytes/{n}", answers.sized),
    Route("/chunked/{n}", answers.chunked),
    Route("/status/{code}", answers.status),
    Route("/flaky", answers.flaky),
    Route("/stats", answers.stats),
)
UNKNOWN = Route("(unknown)", refusal(404, "there is nothing here; try /health, /items or /search?q=tea"))
REFUSED = "(refused)"

_BY_START = {route.template.partition("{")[0]: route for route in ROUTES}


def answer(state: State, method: bytes, target: bytes, body: bytes, authorization: bytes = b"") -> Reply:
    """The reply to a request, which is counted."""
    path, query = _split(target)
    first, slash, argument = path[1:].partition("/")
    route = UNKNOWN if "/" in argument else _BY_START.get(f"/{first}{slash}", UNKNOWN)
    state.counts.paths[route.template] += 1
    if method != route.method and not (method == b"HEAD" and route.method == b"GET") and route is not UNKNOWN:
        return refusal(405, f"only {route.allow.decode()} here", route.allow)
    return _answer(route.answer, Asked(state, argument, query, body, authorization))


def refuse(state: State, status: int, message: str) -> Reply:
    """The reply to what could not be understood, which is counted too."""
    state.counts.paths[REFUSED] += 1
    return refusal(status, message)


def _answer(answer: Answer, asked: Asked) -> Reply:
    if isinstance(answer, Reply):
        return answer
    try:
        return answer(asked)
    except RefusedError as refused:
        return refused.reply


def _split(target: bytes) -> tuple[str, bytes]:
    """The path and the query of `/path?query`, or of the absolute form that proxies are sent."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return "", b""
    return (url.path or b"/").decode("latin-1"), url.query or b""
