"""What is written parses to exactly the values, whatever foreign text is in them, and reads as a person's Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit import Endpoint
from loadkit.importer.scenario_file import endpoint_file, in_endpoint
from loadkit.importer.source import Call, Code, Joined, docstring, expression, identifier
from loadkit.plan.placeholders import columns, plain

TEXT = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("'\"\\{}\n\r\0#%\u202e\u2028\ud800")))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT, st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner), st.tuples(inner), st.tuples(inner, inner)),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_is_written_as_what_python_reads_as_the_same(value: Any):
    written = expression(value)

    assert ast.literal_eval(written) == value
    assert repr(ast.literal_eval(written)) == repr(value), "an int is no float"


@given(st.lists(TEXT, min_size=1), st.integers())
def test_text_around_variables_stays_text(texts: list[str], number: int):
    parts = [part for text in texts for part in (text, Code("number"))]

    found = eval(expression(Joined(tuple(parts))), {"number": number})

    assert found == "".join(f"{text}{number}" for text in texts)


@given(TEXT)
def test_foreign_text_in_a_docstring_is_nothing_but_that(text: str):
    (statement,) = ast.parse(docstring(text)).body

    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Constant)
    assert isinstance(statement.value.value, str)


@given(TEXT, st.lists(st.tuples(TEXT, VALUES)), TEXT)
def test_a_file_is_the_scenario_and_nothing_else(about: str, bodies: list[tuple[str, Any]], url: str):
    calls = [Call("Endpoint", ("POST", path), {"json": body}) for path, body in bodies]

    tree = ast.parse(endpoint_file("shop", about, calls, base_url=url))

    said, imported, assigned = tree.body
    assert isinstance(said, ast.Expr)
    assert isinstance(imported, ast.ImportFrom)
    assert isinstance(assigned, ast.Assign)
    assert isinstance(assigned.value, ast.Call)
    (endpoints,) = (one.value for one in assigned.value.keywords if one.arg == "endpoints")
    made = [one for one in ast.iter_child_nodes(endpoints) if isinstance(one, ast.Call)]
    found = [(ast.literal_eval(one.args[1]), ast.literal_eval(one.keywords[0].value)) for one in made]
    assert found == bodies


@given(st.text(alphabet="{}a.é1_", max_size=12))
def test_braces_of_foreign_text_are_no_placeholders(text: str):
    written = Endpoint("POST", "/", json={"note": in_endpoint(text)}, headers={"X": "1"})

    assert columns(written) == frozenset()
    assert plain(written).get("json", written.json) == {"note": text}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("accessToken", "access_token"),
        ("X-CSRF-Token", "x_csrf_token"),
        ("class", "class_"),
        ("sha256_of", "sha256_of"),
        ("id", "id_"),  # what Python means by it
        *((name, f"{name}_") for name in ("http", "html", "quote", "fields", "visit")),  # what the file means by it
        ("2fa", "value_2_fa"),
        ("", "value"),
        ("__import__('os')", "import_os"),
        ("a" * 300, "a" * 40),
        ("../../etc/passwd", "etc_passwd"),
        ("日本", "value"),
    ],
)
def test_a_variable_is_named_after_foreign_text_in_plain_letters(text: str, name: str):
    assert identifier(text) == name
    assert identifier(text, [name]) == f"{name.rstrip('_')}_2"


LONG = "a long text " * 5


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1, 2], "c": LONG, "d": {"e": LONG, "f": [LONG, {"g": 1e20}]}},
        [(LONG, 1), (LONG, "it's"), ("a", 'say "yes"')],
        Call("Endpoint", ("GET", LONG), {"params": {"q": LONG}, "data": b"\x00'\"", "headers": {}}),
        {LONG: Joined((LONG, Code("http"))), "quotes": "'\"", "single": ("one",)},
    ],
    ids=["nested", "pairs", "a call", "an f-string"],
)
def test_a_formatter_finds_nothing_to_change(value: Any):
    pytest.importorskip("ruff")
    text = f'"""Said."""\n\nhttp = Endpoint = str\nvalue = {expression(value, used=8)}\n'

    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, "")
