"""Operations of an OpenAPI document as endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

from loadkit.importer.document import Document, MissingError
from loadkit.importer.scenario_file import in_endpoint
from loadkit.importer.schema_values import example_of, value_of
from loadkit.importer.source import Call, Code, Expression, Variable, variable_name
from loadkit.plan.endpoint import METHODS, Endpoint
from loadkit.plan.errors import UsageError

_IN_PATH: Final = re.compile(r"\{([^{}]+)\}")
_SEPARATORS: Final = {"spaceDelimited": " ", "pipeDelimited": "|"}
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(slots=True)
class Found:
    """The operations of a document: those that can be sent, and what is missing of the others."""

    endpoints: list[tuple[Call, dict[str, Expression]]] = field(default_factory=list)
    """Each with the headers that log it in."""
    missing: dict[str, str] = field(default_factory=dict)
    """By the label of the operation what it lacks."""
    unsafe: list[str] = field(default_factory=list)
    """Labels of operations that may change something, and were not asked for."""
    credentials: dict[str, Expression] = field(default_factory=dict)
    """What fills placeholders, by their names."""
    not_written: set[str] = field(default_factory=set)
    """Names of schemes of security that stay undone."""
    base_url: str | None = None


class Operations:
    """Reads the operations of a document; `values` are those that the user gives for parameters, by name."""

    def __init__(self, document: Document, values: Mapping[str, str], methods: frozenset[str]) -> None:
        self._document = document
        self._values = values
        self._methods = methods
        self._is_swagger = "swagger" in document.root

    def found(self) -> Found:
        """All operations, in their order."""
        found = Found()
        for path, method, item, operation in self._all():
            label = f"{method} {path}"
            if method not in self._methods:
                found.unsafe.append(label)
                continue
            self._document.start_over()
            own = Found()
            try:
                call = self._call(path, method, item, operation, found)
                headers = self._security(operation, call, own)
                # what a scenario would refuse is said now
                sent = {**call.named.get("headers", {}), **headers}
                Endpoint(*call.positional, **{**call.named, "headers": sent})
            except MissingError as error:
                found.missing[label] = f"the document has no example of {error}"
            except UsageError as error:
                found.missing[label] = str(error)
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
                found.missing[label] = "it is written otherwise than OpenAPI has it"
            else:
                found.endpoints.append((call, headers))
                found.credentials |= own.credentials
                found.not_written |= own.not_written
        return found

    def _all(self) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
        for path, node in (self._document.root.get("paths") or {}).items():
            try:
                item, _ = self._document.resolved(node)
            except MissingError:
                continue
            for name, operation in item.items():
                if name.upper() in METHODS and isinstance(operation, Mapping):
                    yield path, name.upper(), item, dict(operation)

    def _call(
        self, path: str, method: str, item: Mapping[str, Any], operation: Mapping[str, Any], found: Found
    ) -> Call:
        parameters = self._parameters(item, operation)
        given = self._given(path, parameters)
        server = self._server(item, operation)
        if found.base_url is None and "://" in server:
            found.base_url = server
        place = "" if server == found.base_url else server
        target = _IN_PATH.sub(lambda one: given["path"][one[1]], quote(path, safe="/{}:@!$&'()*+,;=~%"))
        cookies = "; ".join(f"{name}={value}" for name, value in given["cookie"].items())
        body = self._body(parameters, operation)
        named = {
            "params": given["query"],
            "headers": {**body.pop("headers", {}), **given["header"], **({"Cookie": cookies} if cookies else {})},
            **body,
            "expect": _expected(operation),
        }
        kept = {name: in_endpoint(value) for name, value in named.items() if value not in (None, {})}
        name = {"name": f"{method} {place}{path}"} if given["path"] else {}
        return Call("Endpoint", (method, in_endpoint(f"{place}{target}")), kept | name)

    def _given(self, path: str, parameters: Mapping[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """What the parameters say, by their place; `MissingError` names all that are needed and have no value."""
        given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}, "cookie": {}}
        missing = []
        for (place, name), one in parameters.items():
            if place not in given:
                continue
            try:
                given[place] |= self._written(name, place, one)
            except MissingError as error:
                if one.get("required") or place == "path":
                    missing.append(f"{name} in the {place}" if str(error) in ("", name) else f"{error} in the {place}")
        for name in _IN_PATH.findall(path):
            if name in self._values:
                given["path"].setdefault(name, quote(self._values[name], safe=""))
            elif ("path", name) not in parameters:
                missing.append(f"{name} in the path")
        if missing:
            raise MissingError(", ".join(missing))
        return given

    def _parameters(
        self, item: Mapping[str, Any], operation: Mapping[str, Any]
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """The parameters of an operation by place and name; its own take the place of those of its path."""
        found = {}
        for node in [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]:
            one, _ = self._document.resolved(node)
            found[str(one.get("in")), str(one.get("name"))] = one
        return found

    def _written(self, name: str, place: str, one: Mapping[str, Any]) -> dict[str, Any]:
        """A parameter as it stands in its place: under its name, or under several."""
        is_required = one.get("required") or place == "path"
        value = self._values[name] if name in self._values else self._value(name, one, is_required=is_required)
        if place == "path":
            return {name: quote(_joined(value, ","), safe="")}
        if place != "query":
            return {name: _joined(value, ",")}
        if isinstance(value, dict):
            is_deep = one.get("style") == "deepObject"
            return {f"{name}[{key}]" if is_deep else key: _text(part) for key, part in value.items()}
        if not isinstance(value, list):
            return {name: _text(value)}
        style, collection = one.get("style", "form"), one.get("collectionFormat", "csv")
        if (self._is_swagger and collection == "multi") or (
            not self._is_swagger and one.get("explode", style == "form")
        ):
            return {name: [_text(part) for part in value]}
        return {name: _joined(value, _SEPARATORS.get(style, ","))}

    def _value(self, name: str, one: Mapping[str, Any], *, is_required: bool) -> Any:
        if "content" in one:
            media: Mapping[str, Any] = next(iter(one["content"].values()), {})
            return json.dumps(self._of_media(media, name))
        try:
            return example_of(self._document, {"example": one["x-example"]} if "x-example" in one else one)
        except MissingError:
            schema, _ = self._document.resolved(one.get("schema", one if self._is_swagger else {}))
        # an optional one is worth sending where somebody wrote what for
        if is_required:
            return value_of(self._document, schema, name)
        return example_of(self._document, schema)

    def _of_media(self, media: Mapping[str, Any], what: str) -> Any:
        try:
            return example_of(self._document, media)
        except MissingError:
            return value_of(self._document, media.get("schema", {}), what)

    def _body(
        self, parameters: Mapping[tuple[str, str], dict[str, Any]], operation: Mapping[str, Any]
    ) -> dict[str, Any]:
        body = self._old_body(parameters, operation) if self._is_swagger else operation.get("requestBody")
        node, _ = self._document.resolved(body)
        content = node.get("content")
        if not isinstance(content, Mapping) or not content:
            return {}
        kind = next(
            (one for one in content if "json" in one),
            next((one for one in content if one in _FORMS), next(iter(content))),
        )
        try:
            value = self._of_media(content[kind], "the body")
        except MissingError:
            if node.get("required"):
                raise
            return {}
        return _as_body(kind, value)

    def _old_body(self, parameters: Mapping[tuple[str, str], dict[str, Any]], operation: Mapping[str, Any]) -> Any:
        """The body of Swagger 2, which is a parameter, or several, as OpenAPI 3 has it."""
        kinds = operation.get("consumes") or self._document.root.get("consumes") or []
        for (place, _), one in parameters.items():
            if place == "body":
                kind = kinds[0] if kinds else "application/json"
                return {"required": one.get("required", False), "content": {kind: {"schema": one.get("schema", {})}}}
        fields = {name: one for (place, name), one in parameters.items() if place == "formData"}
        required = [name for name, one in fields.items() if one.get("required")]
        if not fields:
            return None
        # required is a list of names in a schema, and a flag in a parameter
        plain = {name: {key: value for key, value in one.items() if key != "required"} for name, one in fields.items()}
        kind = next((one for one in kinds if one in _FORMS), _FORMS[0])
        schema = {"type": "object", "properties": plain, "required": required}
        return {"required": bool(required), "content": {kind: {"schema": schema}}}

    def _server(self, item: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
        """What the path is joined to: a URL, or the beginning of a path."""
        root = self._document.root
        if self._is_swagger:
            scheme = next(iter(root.get("schemes") or ()), "http")
            base = str(root.get("basePath", "")).rstrip("/")
            return f"{scheme}://{root['host']}{base}" if root.get("host") else base
        for servers in (operation.get("servers"), item.get("servers"), root.get("servers")):
            if isinstance(servers, list) and servers and isinstance(servers[0], Mapping):
                return self._url(servers[0]).rstrip("/")
        return ""

    def _url(self, server: Mapping[str, Any]) -> str:
        variables = server.get("variables") or {}

        def default(found: re.Match[str]) -> str:
            one = variables.get(found[1]) or {}
            value = self._values.get(found[1], one.get("default", next(iter(one.get("enum") or ()), None)))
            if value is None:
                raise MissingError(f"{found[1]} in the server {server.get('url')}")
            return str(value)

        url = _IN_PATH.sub(default, str(server.get("url", "")))
        parts = urlsplit(url)
        if parts.scheme and parts.scheme not in ("http", "https"):
            raise MissingError(f"a server of http or https, not {url}")
        if parts.scheme:
            return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        return url if url.startswith("/") or not url else f"/{url}"

    def _security(self, operation: Mapping[str, Any], call: Call, found: Found) -> dict[str, Expression]:
        """The headers that log an operation in; what goes into its query is put there."""
        root = self._document.root
        wanted = operation.get("security", root.get("security"))
        alternatives = [one for one in wanted or () if isinstance(one, Mapping)]
        if not alternatives or {} in alternatives:
            return {}
        schemes = root.get("securityDefinitions") or (root.get("components") or {}).get("securitySchemes") or {}
        headers: dict[str, Expression] = {}
        for name in alternatives[0]:
            scheme, _ = self._document.resolved(schemes.get(name) or {})
            headers |= self._scheme(name, scheme, call, found)
        return headers

    def _scheme(self, name: str, scheme: Mapping[str, Any], call: Call, found: Found) -> dict[str, Expression]:
        kind, way = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        if kind == "apiKey":
            variable = variable_name(str(scheme.get("name")))
            found.credentials[variable.lower()] = Variable(variable)
            filled = f"{{{variable.lower()}}}"
            if scheme.get("in") == "query":
                assert isinstance(call.named, dict)
                call.named["params"] = {**call.named.get("params", {}), str(scheme.get("name")): filled}
                return {}
            if scheme.get("in") == "cookie":
                return {"Cookie": f"{scheme.get('name')}={filled}"}
            return {str(scheme.get("name")): filled}
        if kind == "basic" or way == "basic":
            found.credentials["basic"] = BASIC
            return {"Authorization": "Basic {basic}"}
        if way == "bearer" or kind in ("oauth2", "openIdConnect"):
            found.credentials["token"] = Variable("TOKEN")
            return {"Authorization": "Bearer {token}"}
        found.not_written.add(name)
        return {}


BASIC: Final = Code("b64encode(f\"{os.environ['API_USER']}:{os.environ['API_PASSWORD']}\".encode()).decode()")
"""What basic authentication sends."""


def _joined(value: Any, separator: str) -> str:
    if isinstance(value, list):
        return separator.join(map(_text, value))
    if isinstance(value, dict):
        return separator.join(f"{name}{separator}{_text(part)}" for name, part in value.items())
    return _text(value)


def _text(value: Any) -> str:
    """A value as parameters have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value) if not isinstance(value, dict | list) else json.dumps(value)


def _as_body(kind: str, value: Any) -> dict[str, Any]:
    if "json" in kind and value is not None:
        return {"json": value} if kind == "application/json" else {"headers": {"Content-Type": kind}, "json": value}
    if kind == _FORMS[0] and isinstance(value, dict):
        return {"data": {name: _text(part) for name, part in value.items()}}
    if kind == _FORMS[1] and isinstance(value, dict):
        return {"files": {name: (None, _text(part)) for name, part in value.items()}}
    return {"headers": {"Content-Type": kind}, "data": value if isinstance(value, str) else json.dumps(value)}


def _expected(operation: Mapping[str, Any]) -> Any:
    """The statuses of a good reply, where the document names others than 200."""
    said = [str(status) for status in operation.get("responses") or () if str(status).startswith("2")]
    codes = [int(status) for status in said if status.isdecimal() and len(status) == 3]
    if not codes or 200 in codes or len(codes) < len(said):
        return None
    return codes[0] if len(codes) == 1 else tuple(codes)
