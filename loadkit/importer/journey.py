"""A recording as a journey: its requests one after the other, with its pauses, and what replies handed out."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from loadkit.importer import html_fields
from loadkit.importer.bodies import body_arguments, one_or_pairs
from loadkit.importer.correlation import Correlation
from loadkit.importer.credentials import Credentials, each_value
from loadkit.importer.kept import Kept, Selection
from loadkit.importer.replies import Source
from loadkit.importer.scenario_file import LOAD, ScenarioFile, module
from loadkit.importer.source import Call, Code, Expression, Joined, Variable, docstring, expression, identifier
from loadkit.plan.labels import fold_path
from loadkit.plan.redact import is_secret
from loadkit.plan.units import show_count, show_span

JOURNEY: Final = "visit"
"""What the function is called."""

LONGEST_ONCE: Final = 60.0
"""Seconds that `--once` gives a journey whose requests have 10 s each."""
SHORTEST_PAUSE: Final = 0.1
"""Seconds: what is shorter the browser took, and nobody thought."""

_VERBS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods of which a session has one of that name."""


@dataclass(slots=True)
class _Names:
    """What the variables of a journey are called, and which come from which reply."""

    variables: dict[tuple[int, str], str] = field(default_factory=dict)
    """By the position of the request and the expression that finds the value in its reply."""
    modules: set[str] = field(default_factory=set)

    def of(self, source: Source) -> Code:
        """The variable for a value that a reply hands out."""
        key = source.request, source.code
        if key not in self.variables:
            name = source.name if len(source.name) > 2 or not source.parent else f"{_one(source.parent)}_{source.name}"
            self.variables[key] = identifier(name, self.variables.values())
            self.modules |= {source.needs} - {""}
        return Code(self.variables[key])

    def from_reply(self, position: int) -> list[tuple[str, str]]:
        """The variables that a reply gives, each with its expression."""
        return [(name, code) for (request, code), name in self.variables.items() if request == position]


def _one(name: str) -> str:
    return name.removesuffix("s")


def journey_file(name: str, selection: Selection, *, source: str, has_pauses: bool = True) -> ScenarioFile:
    """A scenario file with a journey of the requests of a recording."""
    kept, names, credentials = selection.kept, _Names(), Credentials()
    correlation = Correlation(kept)
    calls = [_Request(position, one, correlation, names, credentials).call() for position, one in enumerate(kept)]
    cookies = [
        f"    http.cookies.set({expression(one)}, {expression(credentials.put(one, value))})"
        for one, value in _cookies_from_before(kept).items()
    ]
    span = max(one.last.ended for one in kept) - kept[0].exchange.started if has_pauses else 0
    many = show_count(len(kept), "request")
    notes = [
        *(f"left out: {one}" for one in selection.left_out),
        *_notes(names, credentials, span, is_logged_in=bool(cookies)),
    ]
    about = [f"{many}, recorded in {source}.", *([""] if notes else []), *(f"- {one}" for one in notes)]
    journey = [
        f"def {JOURNEY}(http):",
        "    http.cookies.clear()  # somebody new each time",
        *cookies,
        *_steps(kept, calls, names, has_pauses=has_pauses),
    ]
    duration = show_span(max(10, math.ceil(2 * span))).replace(" ", "")
    fields = {"base_url": selection.base_url, "endpoints": [Code(JOURNEY)], **LOAD, "duration": duration}
    text = module(
        [docstring("\n".join(about)), _imports(names, credentials), "from loadkit import Scenario"],
        [
            inspect.getsource(html_fields.fields) if "fields" in names.modules else "",
            "\n".join(journey),
            f"{name} = {expression(Call('Scenario', named=fields), used=len(name) + 3)}",
        ],
    )
    return ScenarioFile(text=text, notes=[f"{many} of {source}, in the journey {JOURNEY}", *notes])


def _notes(names: _Names, credentials: Credentials, span: float, *, is_logged_in: bool) -> Iterator[str]:
    if names.variables:
        yield f"taken from replies: {', '.join(names.variables.values())}"
    if credentials.variables:
        yield f"secrets are taken from the environment: {', '.join(credentials.variables)}"
    if is_logged_in:
        yield "somebody was logged in before the recording began: record it from the log-in on"
    if span > LONGEST_ONCE:
        yield f"a visit takes {show_span(math.ceil(span))}, and --once ends after a minute: --no-pauses is shorter"


def _imports(names: _Names, credentials: Credentials) -> str:
    """What of the standard library the statements use."""
    modules = [*(["html"] if "fields" in names.modules else []), *(["os"] if credentials.variables else [])]
    modules += ["re"] if "fields" in names.modules else []
    quoting = sorted(names.modules & {"quote", "unquote"})
    lines = [f"import {one}" for one in modules]
    return "\n".join([*lines, *([f"from urllib.parse import {', '.join(quoting)}"] if quoting else [])])


def _steps(kept: Sequence[Kept], calls: Sequence[Expression], names: _Names, *, has_pauses: bool) -> Iterator[str]:
    """The statements, those of a page in a step of its own where there are several pages."""
    shortest = SHORTEST_PAUSE if has_pauses else math.inf
    pages = [list(group) for _, group in groupby(range(len(kept)), key=lambda k: kept[k].exchange.page)]
    ended = kept[0].exchange.started
    for page in pages:
        within = len(pages) > 1
        if within:
            yield from _pause(kept[page[0]].exchange.started - ended, shortest, 4)
            contexts = [f"http.step({expression(_step(kept[page[0]]))})"]
            if len(page) == 1:
                contexts += _expecting(kept[page[0]])
            yield f"    with {', '.join(contexts)}:"
        for k in page:
            if not within or k != page[0]:
                yield from _pause(kept[k].exchange.started - ended, shortest, 8 if within else 4)
            indent = 8 if within else 4
            if not within or len(page) > 1:
                for context in _expecting(kept[k]):
                    yield f"{' ' * indent}with {context}:"
                    indent += 4
            yield from _statements(calls[k], names.from_reply(k), indent)
            ended = max(ended, kept[k].exchange.ended, kept[k].last.ended)


def _step(kept: Kept) -> str:
    """What a page is called in reports."""
    return fold_path(urlsplit(kept.exchange.url).path or "/")[:60]


def _pause(span: float, shortest: float, indent: int) -> Iterator[str]:
    if span >= shortest:
        text = f"{span:.3g}s" if span >= 1 else f"{round(span * 1000, -1):g}ms"
        yield f'{" " * indent}http.pause("{text if "e" not in text else f"{round(span)}s"}")'


def _expecting(kept: Kept) -> list[str]:
    """What says that a reply is to be an error, as it was."""
    status = kept.last.status if kept.is_followed else kept.exchange.status
    return [f"http.expecting({status})"] if status >= 400 else []


def _statements(call: Expression, found: list[tuple[str, str]], indent: int) -> Iterator[str]:
    has_reply = any("reply" in code for _, code in found)
    prefix = "reply = " if has_reply else ""
    yield f"{' ' * indent}{prefix}{expression(call, indent=indent, used=len(prefix))}"
    yield from (f"{' ' * indent}{name} = {code}" for name, code in found)


def _cookies_from_before(kept: Sequence[Kept]) -> dict[str, str]:
    """Cookies with the names of secrets that are sent, and that no reply has set until then."""
    known, found = set[str](), dict[str, str]()
    for one in kept:
        for line in one.exchange.header("cookie").split(";"):
            name, equals, value = line.strip().partition("=")
            if equals and name not in known and is_secret(name):
                found.setdefault(name, value)
        for reply in (one.exchange, one.last):
            lines = [value for name, value in reply.reply_headers if name.lower() == "set-cookie"]
            known |= {line.partition("=")[0].strip() for value in lines for line in value.split("\n")}
    return found


class _Request:
    """One request as a call of the session."""

    def __init__(
        self, position: int, kept: Kept, correlation: Correlation, names: _Names, credentials: Credentials
    ) -> None:
        self._position = position
        self._kept = kept
        self._correlation = correlation
        self._names = names
        self._credentials = credentials

    def call(self) -> Call:
        """The call, with what differs from one visit to the next in variables."""
        one = self._kept.exchange
        place, pairs = self._place()
        body = body_arguments(one.body, one.content_type)
        given: dict[str, Any] = {
            "params": each_value(one_or_pairs(pairs), "", self._put_in_form) if pairs else None,
            "headers": self._headers(body),
            **{
                name: each_value(value, "", self._put_in_form if name == "data" else self._put)
                for name, value in body.items()
                if name != "headers"
            },
            "allow_redirects": None if self._kept.is_followed else False,
        }
        named = {name: value for name, value in given.items() if value not in (None, {})}
        if one.method in _VERBS:
            return Call(f"http.{one.method.lower()}", (place,), named)
        return Call("http.request", (one.method, place), named)

    def _place(self) -> tuple[Expression, list[tuple[str, str]]]:
        """The path, or the URL of another host, and the query."""
        one = self._kept.exchange
        parts = urlsplit(one.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for whole in (target, one.url):
            if source := self._correlation.source(self._position, "", whole):
                return self._names.of(source), []
        host = "" if self._kept.is_own else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        # a name without a value is written by nobody but by hand
        is_plain = all("=" in part for part in parts.query.split("&")) if parts.query else True
        path = self._path(host, parts.path or "/")
        if is_plain:
            return path, pairs
        return (Joined((*path.parts, f"?{parts.query}")) if isinstance(path, Joined) else f"{path}?{parts.query}"), []

    def _path(self, host: str, path: str) -> Expression:
        parts: list[Any] = [host]
        before = ""
        for k, segment in enumerate(path.split("/")):
            parts.append("/" if k else "")
            source = self._correlation.source(self._position, before, unquote(segment)) if segment else None
            if source:
                code = self._names.of(source)
                if quote(unquote(segment), safe="") != unquote(segment):
                    self._names.modules.add("quote")
                    code = Code(f"quote({code.text}, safe='')")
                parts.append(code)
            else:
                parts.append(segment)
            before = unquote(segment)
        return _joined(parts)

    def _headers(self, body: dict[str, Any]) -> dict[str, Expression]:
        found: dict[str, Expression] = dict(body.get("headers", {}))
        for name, value in self._kept.exchange.headers:
            if name.lower() not in ("cookie", "content-type"):
                found[name] = self._header(name, value)
        return found

    def _header(self, name: str, value: str) -> Expression:
        scheme, space, rest = value.rpartition(" ")
        if source := self._correlation.source(self._position, name, value):
            return _text(self._names.of(source), source)
        if space and (source := self._correlation.source(self._position, name, rest)):
            return Joined((f"{scheme} ", self._names.of(source)))
        return self._credentials.put_in_header(name, value)

    def _put(self, name: str, value: Any) -> Expression:
        source = self._source(name, value)
        if source is None or type(source.value) is type(value):
            return self._put_in_form(name, value)
        return Code(f"{'str' if isinstance(value, str) else 'int'}({self._names.of(source).text})")

    def _put_in_form(self, name: str, value: Any) -> Expression:
        """In a form, or a query, a number is text."""
        source = self._source(name, value)
        return self._names.of(source) if source else self._credentials.put(name, value)

    def _source(self, name: str, value: Any) -> Source | None:
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return None
        return self._correlation.source(self._position, name, value)


def _text(code: Code, source: Source) -> Expression:
    return code if isinstance(source.value, str) else Joined((code,))


def _joined(parts: Sequence[Any]) -> Expression:
    """Text, or an f-string where variables are among the parts."""
    if any(isinstance(part, Code | Variable) for part in parts):
        return Joined(tuple(part for part in parts if part != ""))
    return "".join(parts)
