"""The documents that FastAPI, django-ninja and connexion give out become scenarios that run."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests

from loadkit import serving
from tests.conftest import Call

FASTAPI = """\
from typing import Annotated
from fastapi import Body, FastAPI, Depends, Path, Query
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

class Order(BaseModel):
    sku: str = Field(examples=["SKU-0001"])
    count: int = 1
    inside: "Order | None" = None

app = FastAPI(title="Shop", version="1.0")

@app.get("/items")
def items(kind: Annotated[str, Query(examples=["tea"])], limit: int = 10): return [kind] * limit

@app.get("/items/{item_id}")
def item(item_id: Annotated[int, Path(examples=[7])]): return {"id": item_id}

@app.get("/users/{user_id}")
def user(user_id: int): return {"id": user_id}

@app.get("/me")
def me(token=Depends(HTTPBearer())): return {"token": token.credentials}

@app.post("/orders", status_code=201)
def order(order: Order): return order
"""

NINJA = """\
import django
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", DEBUG=False)
django.setup()
from django.core.wsgi import get_wsgi_application
from django.urls import path
from ninja import Field, NinjaAPI, Path, Query, Schema
from ninja.security import HttpBearer

class Bearer(HttpBearer):
    def authenticate(self, request, token): return token

class Order(Schema):
    sku: str = Field(examples=["SKU-0001"])
    count: int = 1

api = NinjaAPI(title="Shop", version="1.0")

@api.get("/items")
def items(request, kind: str = Query(examples=["tea"]), limit: int = 10): return [kind] * limit

@api.get("/items/{item_id}")
def item(request, item_id: int = Path(examples=[7])): return {"id": item_id}

@api.get("/users/{user_id}")
def user(request, user_id: int): return {"id": user_id}

@api.get("/me", auth=Bearer())
def me(request): return {"token": request.auth}

@api.post("/orders", response={201: Order})
def order(request, order: Order): return 201, order

urlpatterns = [path("api/", api.urls)]
app = get_wsgi_application()
"""

CONNEXION = """\
import connexion

def items(kind, limit=10): return [kind] * limit
def item(item_id): return {"id": item_id}
def user(user_id): return {"id": user_id}
def me(user): return {"user": user}
def login(token): return {"sub": token}
def order(body): return body, 201

app = connexion.AsyncApp(__name__, specification_dir=".")
app.add_api("shop.yaml")
"""
CONNEXION_YAML = """\
openapi: 3.0.0
info: {title: Shop, version: '1.0'}
servers: [{url: /v1}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer, x-bearerInfoFunc: connexion_api.login}}
paths:
  /items:
    get:
      operationId: connexion_api.items
      parameters:
      - {name: kind, in: query, required: true, schema: {type: string}, example: tea}
      - {name: limit, in: query, schema: {type: integer, default: 10}}
      responses: {'200': {description: all}}
  /items/{item_id}:
    get:
      operationId: connexion_api.item
      parameters: [{name: item_id, in: path, required: true, schema: {type: integer, example: 7}}]
      responses: {'200': {description: one}}
  /users/{user_id}:
    get:
      operationId: connexion_api.user
      parameters: [{name: user_id, in: path, required: true, schema: {type: integer}}]
      responses: {'200': {description: one}}
  /me:
    get:
      operationId: connexion_api.me
      security: [{bearer: []}]
      responses: {'200': {description: me}}
  /orders:
    post:
      operationId: connexion_api.order
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [sku], properties: {sku: {type: string, example: SKU-0001}}}
      responses: {'201': {description: made}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "files", "place"),
    [
        ("fastapi", {"fastapi_api.py": FASTAPI}, "/openapi.json"),
        ("ninja", {"ninja_api.py": NINJA}, "/api/openapi.json"),
        ("connexion", {"connexion_api.py": CONNEXION, "shop.yaml": CONNEXION_YAML}, "/v1/openapi.json"),
    ],
)
def test_the_document_that_a_framework_gives_out_becomes_a_scenario_that_runs(
    module: str, files: dict[str, str], place: str, tmp_path: Path, call: Call, monkeypatch
):
    if find_spec(module) is None:
        pytest.skip(f"needs {module}")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "of-ann")
    with serving(f"{module}_api:app", ready=place, cwd=tmp_path) as url:
        Path("api.json").write_bytes(requests.get(f"{url}{place}", timeout=10).content)

        reading = call("import", "openapi", "api.json", "-o", "reading.py")
        writing = call("import", "openapi", "api.json", "-o", "writing.py", "--all-methods", "--value", "user_id=3")
        once = [call("run", name, "--once", "--base-url", url) for name in ("reading.py", "writing.py")]

    assert "loadkit: wrote reading.py\n  3 operations of api.json\n" in reading.stderr
    assert "/users/{user_id}: the document has no example of user_id (integer) in the path" in reading.stderr
    assert "left out: 1 operation of other methods; --all-methods keeps them" in reading.stderr
    assert "5 operations of api.json" in writing.stderr
    assert [one.returncode for one in once] == [0, 0], once[0].stdout + once[1].stdout
    sent = [re.sub(r" (/v1|/api)/", " /", line) for one in once for line in one.stdout.splitlines() if "✓" in line]
    assert [" ".join(line.split()[1:3]) for line in sent] == [
        *("GET /items", "GET /items/{item_id}", "GET /me"),
        *("GET /items", "GET /items/{item_id}", "GET /users/{user_id}", "GET /me", "POST /orders"),
    ]
