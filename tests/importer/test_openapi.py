"""OpenAPI documents become endpoints: by example, default or enumeration, and what is missing is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadkit import UsageError
from loadkit.importer.document import read_document
from loadkit.importer.openapi import openapi_scenario
from loadkit.importer.operations import Operations
from loadkit.importer.source import Variable
from loadkit.plan.endpoint import METHODS
from tests.conftest import Call


def document(folder: Path, paths: dict[str, Any], **more: Any):
    path = folder / "shop.json"
    path.write_text(json.dumps({"openapi": "3.1.0", "paths": paths, **more}))
    return read_document(path)


def written(folder: Path, operation: dict[str, Any], *, path: str = "/a", **more: Any) -> Any:
    """The arguments of the endpoint of an operation, or what it lacks."""
    values = more.pop("values", {})
    found = Operations(document(folder, {path: {"post": operation}}, **more), values, METHODS).found()
    if not found.endpoints:
        return next(iter(found.missing.values()))
    ((call, headers),) = found.endpoints
    named = {name: value for name, value in call.named.items() if name != "name"}
    return call.positional[1], {**named, **({"headers": {**named.get("headers", {}), **headers}} if headers else {})}


def query(**one: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "x", "in": "query", "required": True, **one}]}


MISSING = "the document has no example of "
PARAMETERS = [
    ("an example", query(example=1, schema={"example": 2}), {"params": {"x": "1"}}),
    ("the first of several examples", query(examples={"a": {"value": 3}}), {"params": {"x": "3"}}),
    ("the example of its schema before a default", query(schema={"example": 2, "default": 1}), {"params": {"x": "2"}}),
    ("examples of 3.1", query(schema={"examples": ["a", "b"]}), {"params": {"x": "a"}}),
    ("a default before an enumeration", query(schema={"enum": [1, 2], "default": 2}), {"params": {"x": "2"}}),
    ("the first of an enumeration", query(schema={"enum": ["b", "c"]}), {"params": {"x": "b"}}),
    ("a constant", query(schema={"const": True}), {"params": {"x": "true"}}),
    ("nothing", query(schema={"type": "integer"}), f"{MISSING}x (integer) in the query"),
    ("an optional one without an example", query(required=False, schema={"default": 5}), {}),
    ("an optional one with an example", query(required=False, schema={"example": 5}), {"params": {"x": "5"}}),
    ("a list", query(example=["a", 2]), {"params": {"x": ["a", "2"]}}),
    ("a list in one", query(example=["a", 2], explode=False), {"params": {"x": "a,2"}}),
    ("a list with bars", query(example=["a", 2], style="pipeDelimited"), {"params": {"x": "a|2"}}),
    ("an object", query(example={"a": 1}), {"params": {"a": "1"}}),
    ("a deep object", query(example={"a": 1}, style="deepObject"), {"params": {"x[a]": "1"}}),
    ("JSON", query(content={"application/json": {"example": {"a": 1}}}), {"params": {"x": '{"a": 1}'}}),
    (
        "of several kinds the first that is known",
        query(schema={"anyOf": [{"type": "null"}, {"default": 4}]}),
        {"params": {"x": "4"}},
    ),
    ("another place", {"parameters": [{"name": "X-A", "in": "header", "example": 1}]}, {"headers": {"X-A": "1"}}),
    ("a cookie", {"parameters": [{"name": "c", "in": "cookie", "example": 1}]}, {"headers": {"Cookie": "c=1"}}),
    ("no placeholder", query(example="{y}"), {"params": {"x": "{{y}}"}}),
    ("a reference to nowhere", {"parameters": [{"$ref": "#/none"}]}, f"{MISSING}#/none, which is not there"),
    (
        "a reference to elsewhere",
        {"parameters": [{"$ref": "b.json#/a"}]},
        f"{MISSING}b.json#/a, which is in another document",
    ),
    ("what is no parameter", {"parameters": 5}, "it is written otherwise than OpenAPI has it"),
    ("statuses", {"responses": {"201": {}, "204": {}, "404": {}}}, {"expect": (201, 204)}),
    ("the usual status", {"responses": {"200": {}, "201": {}}}, {}),
    ("any of a hundred", {"responses": {"2XX": {}}}, {}),
]


def body(schema: Any, kind: str = "application/json", *, required: bool = True, **more: Any) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {kind: {"schema": schema, **more}}}}


ORDER = {
    "type": "object",
    "required": ["sku", "lines"],
    "properties": {
        "id": {"type": "integer", "readOnly": True, "example": 1},
        "sku": {"type": "string", "example": "tea"},
        "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
        "note": {"type": "string"},
        "size": {"type": "string", "example": "L", "default": "M"},
    },
}
SCHEMAS: dict[str, Any] = {
    "components": {
        "schemas": {
            "Line": {
                "allOf": [
                    {"$ref": "#/components/schemas/Base"},
                    {"required": ["n"], "properties": {"n": {"default": 1}}},
                ]
            },
            "Base": {"required": ["kind"], "properties": {"kind": {"enum": ["a"]}}},
            "Tree": {"required": ["up"], "properties": {"up": {"$ref": "#/components/schemas/Tree"}}},
            "Leaf": {"properties": {"up": {"$ref": "#/components/schemas/Leaf"}, "n": {"example": 1}}},
            "Me": {"$ref": "#/components/schemas/Me"},
            **{
                f"B{n}": {
                    "required": ["a", "b"],
                    "properties": {key: {"$ref": f"#/components/schemas/B{n + 1}"} for key in "ab"},
                }
                for n in range(40)
            },
            "B40": {"example": 1},
        }
    }
}


def refers(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


BODIES = [
    ("the whole example", body(ORDER, example={"a": 1}), {"json": {"a": 1}}),
    (
        "what is required, and what has an example",
        body(ORDER),
        {"json": {"sku": "tea", "lines": [{"kind": "a", "n": 1}], "size": "L"}},
    ),
    (
        "a part that is missing",
        body(
            {
                "required": ["a"],
                "properties": {"a": {"required": ["b"], "properties": {"b": {"type": "string"}}, "type": "object"}},
            }
        ),
        f"{MISSING}the body.a.b (string)",
    ),
    ("a part that nobody describes", body({"type": "object", "required": ["a"]}), f"{MISSING}the body.a"),
    ("an optional one", body({"type": "string"}, required=False), {}),
    ("an end that refers to itself", body(refers("Leaf")), {"json": {"n": 1}}),
    ("itself", body(refers("Tree")), f"{MISSING}Tree, which contains itself"),
    ("nothing but itself", body(refers("Me")), f"{MISSING}Me, which contains itself"),
    ("billions", body(refers("B0")), "it is written otherwise than OpenAPI has it"),
    (
        "a form",
        body({"required": ["a"], "properties": {"a": {"example": True}}}, "application/x-www-form-urlencoded"),
        {"data": {"a": "true"}},
    ),
    ("multipart", body({}, "multipart/form-data", example={"a": 1}), {"files": {"a": (None, "1")}}),
    ("text", body({"example": "hello"}, "text/plain"), {"headers": {"Content-Type": "text/plain"}, "data": "hello"}),
    (
        "JSON of a kind",
        body({"example": 1}, "application/a+json"),
        {"headers": {"Content-Type": "application/a+json"}, "json": 1},
    ),
]


@pytest.mark.parametrize("row", [*PARAMETERS, *BODIES], ids=[f"{row[0]}" for row in [*PARAMETERS, *BODIES]])
def test_a_parameter_and_a_body_are_what_the_document_gives(row: tuple[str, dict[str, Any], Any], tmp_path: Path):
    _, operation, found = row

    assert written(tmp_path, operation, **SCHEMAS) == (found if isinstance(found, str) else ("/a", found))


def in_path(name: str, **one: Any) -> dict[str, Any]:
    return {"name": name, "in": "path", **one}


@pytest.mark.parametrize(
    ("path", "parameters", "values", "place"),
    [
        ("/a/{id}", [in_path("id", example="x/y z")], {}, "/a/x%2Fy%20z"),
        ("/a/{id}", [in_path("id", example=1)], {"id": "7"}, "/a/7"),
        ("/a/{id}.{ext}", [in_path(name, schema={"enum": [name]}) for name in ("id", "ext")], {}, "/a/id.ext"),
        ("/a/{id}", [in_path("id", schema={"type": "string"})], {}, f"{MISSING}id (string) in the path"),
        ("/a/{id}", [], {}, f"{MISSING}id in the path"),
        ("/a b", [], {}, "/a%20b"),
        ("a", [], {}, "path 'a' is neither a path like '/a' nor a URL like 'http://a'"),
    ],
)
def test_a_path_is_filled(path: str, parameters: list[Any], values: dict[str, str], place: str, tmp_path: Path):
    found = written(tmp_path, {"parameters": parameters}, path=path, values=values)

    assert (found if isinstance(found, str) else found[0]) == place


@pytest.mark.parametrize(
    ("servers", "base_url", "place"),
    [
        ([{"url": "https://a.example/v1/"}], "https://a.example/v1", "/a"),
        (
            [{"url": "{scheme}://{host}/", "variables": {"scheme": {"default": "http"}, "host": {"enum": ["b"]}}}],
            "http://b",
            "/a",
        ),
        ([{"url": "/api"}], None, "/api/a"),
        ([{"url": "/"}], None, "/a"),
        ([], None, "/a"),
    ],
)
def test_a_server_is_joined(servers: list[Any], base_url: str | None, place: str, tmp_path: Path):
    found = Operations(document(tmp_path, {"/a": {"get": {}}}, servers=servers), {}, METHODS).found()

    assert (found.base_url, found.endpoints[0][0].positional[1]) == (base_url, place)


SCHEMES = {
    "bearer": {"type": "http", "scheme": "Bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "asked": {"type": "apiKey", "in": "query", "name": "key"},
    "kept": {"type": "apiKey", "in": "cookie", "name": "session"},
    "oauth": {"type": "oauth2", "flows": {}},
    "mutual": {"type": "mutualTLS"},
    "broken": {"type": "apiKey", "in": "header", "name": "X Key"},
}


@pytest.mark.parametrize(
    ("security", "given", "names"),
    [
        ([{"bearer": []}], {"headers": {"Authorization": "Bearer {token}"}}, ["token"]),
        ([{"basic": []}], {"headers": {"Authorization": "Basic {basic}"}}, ["basic"]),
        (
            [{"key": [], "oauth": []}],
            {"headers": {"X-Api-Key": "{x_api_key}", "Authorization": "Bearer {token}"}},
            ["x_api_key", "token"],
        ),
        ([{"asked": []}], {"params": {"key": "{key}"}}, ["key"]),
        ([{"kept": []}], {"headers": {"Cookie": "session={session}"}}, ["session"]),
        ([{"bearer": []}, {}], {}, []),
        ([{"mutual": []}], {}, []),
        ([{"broken": []}], "'X Key' is not a header name", []),
        ([], {}, []),
    ],
)
def test_who_may_is_told_by_the_environment(security: list[Any], given: Any, names: list[str], tmp_path: Path):
    more: dict[str, Any] = {"components": {"securitySchemes": SCHEMES}, "security": security}

    assert written(tmp_path, {}, **more) == (given if isinstance(given, str) else ("/a", given))
    found = Operations(document(tmp_path, {"/a": {"get": {}}}, **more), {}, METHODS).found()
    assert list(found.credentials) == names
    assert found.not_written == ({"mutual"} if security == [{"mutual": []}] else set())
    assert all(isinstance(one, Variable) or "b64encode" in one.text for one in found.credentials.values())


SWAGGER = """\
swagger: '2.0'
info: {title: Old shop, version: 1}
host: shop.example
basePath: /v1
schemes: [https, http]
consumes: [application/json]
securityDefinitions: {login: {type: basic}}
definitions:
  Order:
    type: object
    required: [sku, day]
    properties: {sku: {type: string, example: tea}, day: {default: 2026-11-28}}
paths:
  /items/{id}:
    parameters: [{name: id, in: path, type: integer, required: true, x-example: 7}]
    get:
      parameters:
      - {name: tags, in: query, type: array, items: {type: string, enum: [a]}, required: true, collectionFormat: multi}
      responses: {200: {description: it}}
  /orders:
    post:
      security: [{login: []}]
      parameters: [{name: order, in: body, required: true, schema: {$ref: '#/definitions/Order'}}]
      responses: {201: {description: made}}
  /form:
    post:
      consumes: [application/x-www-form-urlencoded]
      parameters: [{name: a, in: formData, type: string, required: true, default: b}]
"""

FROM_SWAGGER = '''\
"""Old shop 1: 3 operations of old.yaml.

- secrets are taken from the environment: API_USER, API_PASSWORD
"""

import os
from base64 import b64encode

from loadkit import Endpoint, Scenario


def credentials():
    return {
        "basic": b64encode(f"{os.environ['API_USER']}:{os.environ['API_PASSWORD']}".encode()).decode(),
    }


old = Scenario(
    base_url="https://shop.example/v1",
    setup=credentials,
    endpoints=[
        Endpoint("GET", "/items/7", params={"tags": ["a"]}, name="GET /items/{id}"),
        Endpoint(
            "POST",
            "/orders",
            json={"sku": "tea", "day": "2026-11-28"},
            expect=201,
            headers={"Authorization": "Basic {basic}"},
        ),
        Endpoint("POST", "/form", data={"a": "b"}),
    ],
    threads=1,
    duration="10s",
    thresholds=["error_rate < 1%"],
)
'''


def test_swagger_2_in_yaml_is_read_too(tmp_path: Path):
    pytest.importorskip("yaml")
    (tmp_path / "old.yaml").write_text(SWAGGER)

    found = openapi_scenario("old", read_document(tmp_path / "old.yaml"), source="old.yaml", all_methods=True)

    assert found.text == FROM_SWAGGER


BOMB = "\n".join(["a0: &a0 [x,x]", *(f"a{n}: &a{n} [*a{n - 1},*a{n - 1}]" for n in range(1, 40))])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", None, "cannot read 'a.json': no such file or directory"),
        ("a.json", "{", "'a.json' is no OpenAPI document: Expecting property name"),
        ("a.json", "[" * 9999, "'a.json' is no OpenAPI document"),
        ("a.json", "{}", "'a.json' is no OpenAPI document; it begins like {'openapi': '3.1.0'"),
        ("a.json", '{"openapi": "3.0.0", "paths": 5}', "'a.json' is no OpenAPI document; it begins like "),
        ("a.json", '{"openapi": "3.0.0"}', "there is no operation in 'a.json' that can be sent"),
        ("a.yaml", "a: [", "'a.yaml' is no OpenAPI document: while parsing a flow "),
        ("a.yaml", "a: &a [*a]", "'a.yaml' is no OpenAPI document: it contains itself"),
        ("a.yaml", BOMB, "'a.yaml' is no OpenAPI document: it has more than 1,000,000 values"),
        (
            "a.yaml",
            "!!python/object/apply:os.system [touch owned]",
            "'a.yaml' is no OpenAPI document: could not determine",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_document_that_is_none_is_named_in_one_line(
    name: str, content: str | None, message: str, call: Call, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_text(content)

    done = call("import", "openapi", name)

    assert done.returncode in (4, 5)
    assert done.stderr.startswith(f"loadkit: {message}")
    assert done.stderr.count("\n") == 1
    assert not Path("owned").exists()


def test_a_value_is_given_by_its_name(call: Call, tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps({"openapi": "3.0.0", "paths": {"/a/{id}": {"get": {}}}}))

    wrong = call("import", "openapi", str(tmp_path / "a.json"), "-o", "-", "--value", "id")
    done = call("import", "openapi", str(tmp_path / "a.json"), "-o", "-", "--value", "id=7", "--base-url", "http://a")

    assert wrong.stderr == "loadkit: --value takes a name and a value like item_id=7, not 'id'\n"
    assert '    base_url="http://a",\n    endpoints=[Endpoint("GET", "/a/7", name="GET /a/{id}")],\n' in done.stdout


def test_a_document_without_what_reads_yaml_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    (tmp_path / "a.yaml").write_text("openapi: 3.0.0\n")
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(
        UsageError, match=r"a.yaml' is YAML, which takes PyYAML: pip install pyyaml; or give it as JSON"
    ):
        read_document(tmp_path / "a.yaml")
