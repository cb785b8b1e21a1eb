"""What `loadkit run URL` sends: a method, a body and credentials, as curl and hey are told."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from loadkit.cli.options import request_option
from loadkit.plan.errors import UsageError, reason_of

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario

Method: TypeAlias = Annotated[
    str | None, request_option("--method", "-X", value="METHOD", help="Of the request to a URL; POST with a body.")
]
Data: TypeAlias = Annotated[
    list[str] | None,
    request_option("--data", "-d", value="BODY", help="Its body: text, @FILE, or - for what is piped."),
]
Json: TypeAlias = Annotated[
    str | None, request_option("--json", value="JSON", help="Its body in JSON: text, @FILE, or -.")
]
Form: TypeAlias = Annotated[
    list[str] | None, request_option("--form", "-F", value="PART", help="A part of a form: 'name=value', 'name=@FILE'.")
]
User: TypeAlias = Annotated[
    str | None, request_option("--user", "-u", value="USER", help="'name:password'; ${NAME} is from the environment.")
]
ContentType: TypeAlias = Annotated[str | None, request_option("--content-type", "-T", help="Of the body.")]

Follow: TypeAlias = Annotated[bool, request_option("--follow", "-L", help="Follow redirects, each hop a row.")]
PathAsIs: TypeAlias = Annotated[bool, request_option("--path-as-is", help="Send the path as it is written: /a/../b.")]

_FORM: Final = "application/x-www-form-urlencoded"
_TIME: Final = re.compile(r"\d+(\.\d+)?(ms|s|m|h)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """The options that say what is requested; they are for URLs alone."""

    method: str | None = None
    data: Sequence[str] | None = None
    json: str | None = None
    form: Sequence[str] | None = None
    user: str | None = None
    content_type: str | None = None
    follow: bool | None = None
    path_as_is: bool | None = None

    def applied(self, scenario: Scenario, given: Mapping[str, str]) -> Scenario:
        """The scenario of a URL with this request; `given` are the headers that the command line has besides."""
        changes = self._changes(given)
        if not changes:
            return scenario
        from loadkit.plan.endpoint import Endpoint

        (endpoint,) = scenario.endpoints
        assert isinstance(endpoint, Endpoint)
        return scenario.replace(endpoints=[endpoint.replace(**changes)])

    def check_targets(self, targets: Sequence[str]) -> None:
        """Raise `UsageError` for an option that says what a scenario file says."""
        names = {"method": "-X", "data": "-d", "json": "--json", "form": "-F", "user": "-u", "content_type": "-T"}
        names |= {"follow": "-L", "path_as_is": "--path-as-is"}
        given = [option for field, option in names.items() if getattr(self, field) is not None]
        files = [target for target in targets if "://" not in target]
        if given and files:
            raise UsageError(
                f"{given[0]} is for the request to a URL, and {files[0]} has endpoints of its own, "
                "like Endpoint('POST', '/orders', json={…})"
            )

    def _changes(self, given: Mapping[str, str]) -> dict[str, Any]:
        headers: dict[str, str] = {}
        body, kind = self._body()
        if self.content_type or body is not None:
            headers["Content-Type"] = self.content_type or kind
        if self.user is not None:
            headers["Authorization"] = _basic(self.user)
        lower = {name.lower() for name in given}
        changes = {
            "method": self.method or (None if body is None else "POST"),
            "data": body,
            "headers": {name: value for name, value in headers.items() if name.lower() not in lower},
            "follow": self.follow,
            "path_as_is": self.path_as_is,
        }
        return {name: value for name, value in changes.items() if value}

    def _body(self) -> tuple[bytes | None, str]:
        """The body, and its type."""
        bodies = {"-d": self.data, "--json": self.json, "-F": self.form}
        given = [option for option, value in bodies.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} are two bodies; a request has one")
        if self.data is not None:
            return b"&".join(map(_data, self.data)), _FORM
        if self.json is not None:
            return _json(self.json), "application/json"
        return _multipart(self.form) if self.form is not None else (None, "")


def _data(text: str) -> bytes:
    if _TIME.fullmatch(text):
        raise UsageError(f"-d is a body, and {text!r} is a time; a duration is -z {text}, and a body may be in a @FILE")
    return _content(text, "-d")


def _json(text: str) -> bytes:
    import json

    content = _content(text, "--json")
    try:
        json.loads(content)
    except ValueError as error:
        raise UsageError(f'--json takes JSON like \'{{"sku": "tea"}}\': {error}') from None
    return content


def _content(text: str, option: str) -> bytes:
    if text in ("-", "@-"):
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode(errors="surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"{option} cannot read {text[1:]}: {reason_of(error)}") from None


def _multipart(parts: Sequence[str]) -> tuple[bytes, str]:
    from urllib3 import encode_multipart_formdata

    fields: list[tuple[str, Any]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"cannot read the part {part!r} of a form; write it like name=value, or name=@FILE")
        path = value[1:].partition(";")[0]
        fields.append((name, (Path(path).name, _content(f"@{path}", "-F")) if value.startswith("@") else value))
    return encode_multipart_formdata(fields)


def _basic(text: str) -> str:
    from loadkit.host.environment import from_environment

    if ":" not in text:
        meant = f"; virtual users are -c {text}" if text.isdecimal() else ""
        raise UsageError(f"-u takes name:password, and there is no colon in {text!r}{meant}")
    return "Basic " + base64.b64encode(from_environment(text, what="-u").encode()).decode()
