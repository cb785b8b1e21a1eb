"""Curl commands in a text, as words: what a shell makes of "Copy as cURL" of a browser, of one request or of all."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from loadkit.importer.bodies import body_arguments, one_or_pairs
from loadkit.importer.credentials import Credentials, each_value
from loadkit.importer.headers import is_of_browser
from loadkit.importer.scenario_file import ScenarioFile, endpoint_file, from_environment, in_endpoint
from loadkit.importer.source import Call, Expression
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.placeholders import plain
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import show_count

_SEPARATORS: Final = frozenset({";", "&&", "||", "|", "&"})
# what shlex does not know: $'...', in which a browser writes what is not plain ASCII, and a line that goes on; in other
# quotes they mean nothing
_QUOTES: Final = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\$'((?:[^'\\]|\\.)*)'|\\\n", re.DOTALL)
_ESCAPES: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|(.))", re.DOTALL
)
_LETTERS: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "e": "\x1b",
    "E": "\x1b",
}


def curl_commands(text: str) -> list[list[str]]:
    """The words behind `curl` of each command; `UsageError` for text that is none."""
    plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    if "^\n" in plain or '^"' in plain:
        raise UsageError("this curl command is one for cmd of Windows; copy it as cURL (bash)")
    try:
        words = shlex.split(_QUOTES.sub(_plainly_quoted, plain))
    except ValueError as error:
        raise UsageError(f"cannot read the curl command: {str(error).lower()}") from None
    commands = [command[1:] for command in _split(words) if command[:1] == ["curl"]]
    if not commands:
        raise UsageError("there is no curl command; write it like: curl -X POST http://127.0.0.1:8000/orders -d a=1")
    return commands


def _split(words: Sequence[str]) -> Iterator[list[str]]:
    """Commands, which end with `;` or begin with `curl`."""
    command: list[str] = []
    for word in words:
        if word in _SEPARATORS or (word == "curl" and command):
            yield command
            command = []
        if word not in _SEPARATORS:
            command.append(word)
    yield command


def _plainly_quoted(found: re.Match[str]) -> str:
    if found[0] == "\\\n":
        return " "
    return found[0] if found[1] is None else shlex.quote(_ESCAPES.sub(_unescaped, found[1]))


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code:
        return chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else found[0]
    if found[4]:
        return chr(int(found[4], 8) & 0xFF)
    return _LETTERS.get(found[5], found[5])


def curl_scenario(name: str, scenarios: Sequence[Scenario], *, source: str) -> ScenarioFile:
    """A scenario file of the requests of curl commands; their secrets are taken from the environment."""
    credentials = Credentials()
    plans = [one for scenario in scenarios for one in scenario.plans if isinstance(one, Endpoint)]
    endpoints = [one.replace(**plain(one)) for one in plans]
    bases = {_base(one.path) for one in endpoints}
    base_url = bases.pop() if len(bases) == 1 else None
    calls = [_call(one, base_url, credentials) for one in endpoints]
    variables = ", ".join(credentials.variables)
    about = f"{show_count(len(calls), 'request')} from {source}."
    text = endpoint_file(
        name,
        f"{about}\n\nIt wants in the environment: {variables}." if variables else about,
        calls,
        base_url=base_url,
        credentials=from_environment(credentials.variables),
        fields=_of_all(scenarios),
    )
    return ScenarioFile(text=text, notes=[f"secrets are taken from the environment: {variables}"] if variables else [])


def _of_all(scenarios: Sequence[Scenario]) -> dict[str, Expression]:
    """What commands say of TLS, which is said of all of them."""
    found: dict[str, Expression] = {} if all(one.verify for one in scenarios) else {"verify": False}
    for field in ("ca", "cert"):
        if given := {getattr(one, field) for one in scenarios} - {None}:
            found[field] = str(given.pop())
    return found


def _base(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))


def _call(endpoint: Endpoint, base_url: str | None, credentials: Credentials) -> Call:
    parts = urlsplit(endpoint.path)
    path = parts.path or "/"
    headers = {name: value for name, value in endpoint.headers.items() if not is_of_browser(name, value)}
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    body = body_arguments(endpoint.data or b"", kind)
    if "headers" not in body:
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type" or not body}
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    given: dict[str, Any] = {
        "params": in_endpoint(each_value(one_or_pairs(pairs), "", credentials.put)) if pairs else None,
        "headers": {name: in_endpoint(credentials.put_in_header(name, value)) for name, value in headers.items()},
        **{
            name: in_endpoint(each_value(value, "", credentials.put))
            for name, value in body.items()
            if name != "headers"
        },
        "follow": endpoint.follow,
        "path_as_is": endpoint.path_as_is,
        "timeout": endpoint.timeout,
    }
    place = in_endpoint(path if base_url else f"{_base(endpoint.path)}{path}")
    return Call("Endpoint", (endpoint.method, place), {name: value for name, value in given.items() if value})
