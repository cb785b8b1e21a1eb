"""Where rows come from, and where an endpoint puts their columns: said when it is made, touched when it is run."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, UsageError, rows
from loadkit.plan.placeholders import columns, in_place, in_words, put_in

RIGHT = "a path like 'users.csv' (.csv, .jsonl, .ndjson or .json) or an iterable of mappings"

ONCE = "the generator of rows is read once from its start"


def numbers() -> Iterator[dict[str, int]]:
    yield {"n": 1}


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("users.txt", {}, f"cannot tell from its name what 'users.txt' holds; rows takes {RIGHT}"),
        ("users", {}, f"cannot tell from its name what 'users' holds; rows takes {RIGHT}"),
        (17, {}, f"rows takes {RIGHT}, not int"),
        (None, {}, f"rows takes {RIGHT}, not NoneType"),
        (b"users.csv", {}, f"rows takes {RIGHT}, not bytes"),
        ({"id": 1}, {}, f"rows takes {RIGHT}, not dict"),
        (numbers, {}, f"rows takes {RIGHT}, not function; call the function"),
        ("a.csv", {"order": "sorted"}, "there is no order 'sorted'; use one of file, shuffled, random"),
        ("a.csv", {"at_end": "loop"}, "at_end takes 'again' or 'stop', not 'loop'"),
        (
            "a.csv",
            {"order": "random", "at_end": "stop"},
            "order='random' has no end to stop at; use order='shuffled' for each row once",
        ),
        (
            numbers(),
            {"order": "shuffled"},
            f"order='shuffled' needs all rows at hand, and {ONCE}; give a list or a file",
        ),
    ],
)
def test_rows_say_what_they_cannot_be(source: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        rows(source, **options)
    assert str(caught.value) == said


def test_making_rows_touches_nothing() -> None:
    taken: list[int] = []

    def source() -> Iterator[dict[str, int]]:
        taken.append(1)
        yield {"n": 1}

    rows(source())
    assert rows("/nowhere/users.csv", order="shuffled").name == "/nowhere/users.csv"
    assert not taken


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (rows("a.csv"), "rows('a.csv')"),
        (
            rows(Path("a.NDJSON"), order="shuffled", at_end="stop"),
            "rows('a.NDJSON', order='shuffled', at_end='stop')",
        ),
        (rows([{"a": 1}] * 1000), "rows(<list>)"),
    ],
)
def test_its_repr_is_short(made: object, shown: str) -> None:
    assert repr(made) == shown


def test_rows_of_files_and_lists_survive_pickling() -> None:
    for made in (rows("a.csv", order="random"), rows([{"a": 1}])):
        assert pickle.loads(pickle.dumps(made)) == made


USERS = rows([{"id": "1"}])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"feed": "users.csv"}, "feed takes rows like rows('users.csv'), not str; write feed=rows(…)"),
        ({"path": "/users"}, "GET /users has a feed and nowhere to put it; write a column like '/users/{id}'"),
        ({"path": "/u/{{id}}"}, "GET /u/{{id}} has a feed and nowhere to put it; write a column like '/users/{id}'"),
        (
            {"path": "http://{id}.example/"},
            "GET http://{id}.example/ has a placeholder in its host; all rows go to one host",
        ),
        ({"path": "/100%/{id}"}, "GET /100%/{id} has '%/{' in its path, which encodes nothing; write a % as %25"),
    ],
)
def test_an_endpoint_says_what_it_cannot_fill(fields: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"path": "/u/{id}", "feed": USERS} | fields
    with pytest.raises(UsageError) as caught:
        Endpoint("GET", **given)
    assert str(caught.value) == said


def test_an_open_file_is_not_sent_with_a_feed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with (tmp_path / "a").open("rb") as file, pytest.raises(UsageError, match=r"has a feed and an open file; give the"):
        Endpoint("POST", "/u/{id}", files={"f": file}, feed=USERS)


def test_the_label_is_the_template_and_without_a_feed_braces_are_what_they_were() -> None:
    assert Endpoint("GET", "/users/{id}?x={y}", feed=USERS).label == "GET /users/{id}"
    assert Endpoint("GET", "/100%/{id}").path == "/100%/{id}"


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "/u/{id}"},
        {"path": "/u?q={id}"},
        {"params": {"q": ["a", "x{id}"]}},
        {"params": "q={id}"},
        {"headers": {"Authorization": "Bearer {id}"}},
        {"json": {"a": ["{id}"]}},
        {"json": {"query": "{user{id}}"}},
        {"data": {"a": "{id}"}},
        {"data": '{"a": {id}, "b": "{{x}}"}'},
        {"files": {"f": "for {id}"}},
    ],
    ids=str,
)
def test_a_placeholder_without_a_feed_is_refused(fields: dict[str, Any]) -> None:
    plain = Endpoint("POST", **{"path": "/u"} | fields, name="plain")
    with pytest.raises(UsageError) as caught:
        Scenario(base_url="http://h", endpoints=[plain])
    assert str(caught.value) == (
        "plain has no feed to fill {id}; give it one, like feed=rows('users.csv'), "
        "or the scenario a setup that returns it, or write {{id}} for the text"
    )
    Scenario(base_url="http://h", endpoints=[plain.replace(feed=rows("users.csv"))])
    Scenario(base_url="http://h", endpoints=[plain], setup=lambda http: {"id": 1})


def test_headers_of_a_scenario_are_filled_by_what_sets_up_alone() -> None:
    fields: dict[str, Any] = {"base_url": "http://h", "endpoints": [Endpoint("GET", "/")]}
    with pytest.raises(UsageError) as caught:
        Scenario(**fields, headers={"Authorization": "Bearer {token}"})
    assert str(caught.value) == (
        "nothing fills {token} in the header Authorization of the scenario; give it a setup that returns "
        "{'token': ...}, or the header to an endpoint with a feed, or write {{token}} for the text"
    )
    Scenario(**fields, headers={"Authorization": "Bearer {token}"}, thread_setup=lambda http: {"token": "t"})
    Scenario(**fields, headers={"X-Json": '{"a": 1}', "X-Text": "{{token}}"})


def test_placeholders_are_found_wherever_they_may_stand() -> None:
    endpoint = Endpoint(
        "POST",
        "/{a}/x?q={b}",
        params={"p": "{c}", "many": ["{d}", 1]},
        headers={"X": "v{e}"},
        data={"{not}": "{f}", "n": 1},
        files={"one": "{g}", "two": ("{not}.txt", "x{h}", "text/plain"), "three": b"{not}"},
        feed=USERS,
    )
    assert columns(endpoint) == set("abcdefgh")
    assert columns(Endpoint("POST", "/", json=[{"{not}": ["{i}", {"k": "is {j}"}]}], feed=USERS)) == set("ij")
    assert columns(Endpoint("POST", "/", data=[("k", "{l}")], feed=USERS)) == {"l"}
    assert columns(Endpoint("POST", "/", data="{m}", feed=USERS)) == {"m"}
    assert columns(Endpoint("GET", "/{user-id}/{käse}/{user.name}/{_x1}", feed=USERS)) == {
        "user-id",
        "käse",
        "user.name",
        "_x1",
    }


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ('{"a": 1, "id": "{id}"}', '{"a": 1, "id": "7"}'),
        ('{"a":{"b":{"id":{id}}}}', '{"a":{"b":{"id":7}}}'),
        ("{ user(id: {id}) { name } }", "{ user(id: 7) { name } }"),
        ("{{id}} is {id}", "{id} is 7"),
        ("{}{0}{ id }{1a}{id", "{}{0}{ id }{1a}{id"),
        ("}}{id}{{", "}}7{{"),
        ("%d %s {id} %", "%d %s 7 %"),
    ],
)
def test_only_names_in_single_braces_are_filled(text: str, filled: str) -> None:
    endpoint = Endpoint("POST", "/{id}", data=text, feed=USERS)
    assert put_in(endpoint, in_place({"id": "7"}))["data"] == filled


@pytest.mark.parametrize(
    ("value", "words"),
    [("a", "a"), (7, "7"), (1.5, "1.5"), (True, "true"), (None, ""), ([1, "ü"], '[1, "\\u00fc"]'), ({}, "{}")],
)
def test_values_that_are_no_text_are_written_as_json_has_them(value: object, words: str) -> None:
    assert in_words(value) == words
