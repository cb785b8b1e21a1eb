"""What words of a command line mean, by the signature of a function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from loadkit.cli.parser import Command, UnknownOption, argument, given_values, option
from loadkit.plan.errors import UsageError


def go(
    context: typer.Context,
    targets: Annotated[list[str], argument("What to do.")],
    threads: Annotated[str | None, option("--threads", "-c", help="How many.")] = None,
    header: Annotated[list[str] | None, option("--header", "-H", help="One of many.")] = None,
    output: Annotated[Path | None, option(help="A file.", envvar="GO_OUTPUT")] = None,
    keep_going: Annotated[bool, option("--keep-going", "-k", help="A flag.")] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="Another.")] = False,
) -> int:
    """Go."""
    raise Called(
        {"targets": targets, "threads": threads, "header": header, "output": output},
        keep_going,
        quiet,
        given_values(context),
    )


def one(first: Annotated[str, argument("One.")], second: Annotated[str | None, argument("Two.")] = None) -> int:
    """Go on."""
    raise Called({"first": first, "second": second})


class Called(Exception):
    """With what a command was called."""


def called(command: Command, words: list[str]) -> tuple[Any, ...]:
    with pytest.raises(Called) as with_what:
        command.run(words)
    return with_what.value.args


GO, ONE = Command("go", go), Command("one", one)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["a", "b"], {"targets": ["a", "b"]}),
        (["-c", "5", "a"], {"threads": "5"}),
        (["a", "-c5", "b"], {"threads": "5", "targets": ["a", "b"]}),
        (["a", "--threads=5=6"], {"threads": "5=6"}),
        (["a", "--threads", "-5"], {"threads": "-5"}),
        (["a", "-c", "5", "-c", "6"], {"threads": "6"}),
        (["a", "-H", "x: y", "--header=z"], {"header": ["x: y", "z"]}),
        (["-", "a", "--", "-c", "--x"], {"targets": ["-", "a", "-c", "--x"]}),
        (["a", "--output", "b.json"], {"output": Path("b.json")}),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_words_become_values(words: list[str], values: dict[str, Any]):
    nothing = {"targets": ["a"], "threads": None, "header": None, "output": None}
    assert called(GO, words)[0] == nothing | values


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ([], (False, False)),
        (["-k"], (True, False)),
        (["-kq"], (True, True)),
    ],
    ids=str,
)
def test_flags_are_set(words: list[str], flags: tuple[bool, bool]):
    assert called(GO, ["a", *words])[1:3] == flags


def test_the_environment_gives_a_value_where_nothing_else_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GO_OUTPUT", "e.json")
    assert called(GO, ["a"])[0]["output"] == Path("e.json")
    assert called(GO, ["a", "--output", "b.json"])[0]["output"] == Path("b.json")


def test_what_was_given_is_told_in_the_order_of_the_parameters(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GO_OUTPUT", "e.json")
    given = called(GO, ["-q", "-c", "5", "a"])[3]
    assert given == {"targets": ["a"], "threads": "5", "quiet": True}
    assert list(given.values()) == [["a"], "5", True]


def test_arguments_have_their_places():
    assert called(ONE, ["a"])[0] == {"first": "a", "second": None}
    assert called(ONE, ["a", "b"])[0] == {"first": "a", "second": "b"}


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (GO, [], "Missing argument 'targets'"),
        (ONE, ["a", "b", "c"], "Got unexpected extra argument(s) (c)"),
        (GO, ["a", "-c"], "Option '-c' requires an argument"),
        (GO, ["a", "--threads"], "Option '--threads' requires an argument"),
        (GO, ["a", "--quiet=yes"], "Option '--quiet' does not take a value"),
        (GO, ["a", "--treads", "5"], "No such option: --treads (Possible options: --header, --threads)"),
        (GO, ["a", "--thread", "5"], "No such option: --thread (Possible options: --header, --threads)"),
        (GO, ["a", "--no-threads"], "No such option: --no-threads (Possible options: --header, --threads)"),
        (GO, ["a", "-x5"], "No such option: -x"),
        (GO, ["a", "-qx"], "No such option: -x"),
    ],
)
def test_what_words_cannot_be_is_named(command: Command, words: list[str], message: str):
    with pytest.raises(UsageError) as error:
        command.run(words)
    assert str(error.value) == message
    assert isinstance(error.value, UnknownOption) is message.startswith("No such option")
