"""A journey as a value: what it may take, and what is said of one that cannot work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import pytest

from loadkit import Endpoint, Journey, Scenario, UsageError, hold, rows, scenario
from loadkit.plan.journey import wanted_parameters

URL = "http://127.0.0.1:8000"
USERS = rows([{"id": 1}])


def buy(http: Any) -> None:
    """Buy something."""


def read(http: Any, row: Any) -> None: ...


async def browse(http: Any) -> None: ...


class Shop:
    def visit(self, http: Any) -> None: ...

    def __call__(self, http: Any) -> None: ...


# -- what it may be


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (buy, "buy"),
        (browse, "browse"),
        (Shop().visit, "visit"),
        (Shop(), "Shop"),
        (functools.partial(functools.partial(read), row=1), "read"),
        (lambda client: None, "<lambda>"),
    ],
)
def test_anything_that_can_be_called_with_a_session_is_one(run: Callable[..., Any], name: str):
    assert Journey(run).label == name
    assert Journey(run, name="shopping").label == "shopping"
    assert Scenario(endpoints=[run]).journeys == (Journey(run),)


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda http: 0, ("http",)),
        (lambda client: 0, ("http",)),
        (lambda http=None: 0, ("http",)),
        (lambda *all_of_it: 0, ("http",)),
        (lambda client, /: 0, ("http",)),
        (lambda http, row, shared, own: 0, ("http", "row", "shared", "own")),
        (lambda http, *, own, retries=3: 0, ("http", "own")),
        (lambda http, retries=3, row=None: 0, ("http", "row")),
        (lambda http, **more: 0, ("http",)),
        (lambda own: 0, ("own",)),
        (lambda: 0, ()),
    ],
)
def test_it_is_given_what_its_parameters_name(function: Callable[..., Any], wanted: tuple[str, ...]):
    assert wanted_parameters(function, what="it") == wanted


def test_it_is_a_value_that_can_be_changed_and_shown():
    journey = Journey(buy, weight=2)

    assert journey.replace(threads=4) == Journey(buy, weight=2, threads=4)
    assert repr(journey).startswith("Journey(run=<function buy at 0x")
    assert "weight=2" in repr(journey)
    assert not journey.is_async
    assert Journey(browse).is_async


# -- what it may not be: each a line that names the value and shows the right form


def no_session() -> None: ...


def yields(http: Any) -> Any:
    yield


def yields_row(http: Any, row: Any) -> Any:
    yield row


async def yields_later(http: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Journey(cast(Any, "buy")), "a journey is a function like def buy(http): ..., not 'buy'"),
        (lambda: Journey(Shop), "a journey is a function like def buy(http): ..., not <class"),
        (lambda: Journey(lambda: 0), "<lambda> does not take its session first; write it like def buy(http): ..."),
        (lambda: Journey(no_session), "no_session does not take its session first; write it like def no_session("),
        (lambda: Journey(lambda row: 0), "<lambda> does not take its session first"),
        (lambda: Journey(lambda *, http: 0), "<lambda> does not take its session first; write"),
        (
            lambda: Journey(lambda http, page: 0),
            "<lambda> takes 'page'; it is given http (by any name), row, shared, own, fixture",
        ),
        (
            lambda: Journey(lambda http, row, /: 0, feed=USERS),
            "<lambda> takes 'row'; it is given http (by any name), row, shared",
        ),
        (lambda: Journey(min), "min: cannot see what it takes: no signature found"),
        (lambda: Journey(yields), "yields yields; what is done once for each thread goes to Journey(setup=...)"),
        (lambda: Journey(yields_later), "yields_later yields; what is done once for each thread goes to"),
        (lambda: Journey(buy, name=" "), "name takes text like 'search', not ' '"),
        (lambda: Journey(buy, weight=0), "weight takes a number above 0, not 0"),
        (lambda: Journey(buy, threads=0), "threads takes a whole number of at least 1, not 0"),
        (lambda: Journey(buy, setup=cast(Any, 3)), "setup takes a function like def setup(http): ..., not 3"),
        (lambda: Journey(buy, teardown=Shop), "teardown takes a function like def teardown(http): ..., not <class"),
        (lambda: Journey(buy, setup=read), "the setup of buy takes 'row'; it is given http (by any name), shared"),
        (
            lambda: Journey(buy, teardown=read),
            "the teardown of buy takes 'row'; it is given http (by any name), shared, own",
        ),
        (lambda: Journey(buy, teardown=yields), "the teardown of buy yields, and is called once; what stands behind"),
        (lambda: Journey(buy, fixture=buy), "the fixture of buy has no yield; write it like def user(http): yield"),
        (lambda: Journey(buy, fixture=yields_later), "the fixture of buy is async, and buy is not; write one as the"),
        (
            lambda: Journey(buy, fixture=yields_row),
            "the fixture of buy takes 'row'; it is given http (by any name), shared, own",
        ),
        (lambda: Journey(browse, tasks_per_thread=0), "tasks_per_thread takes a whole number of at least 1, not 0"),
        (
            lambda: Journey(browse, tasks_per_thread=True),
            "tasks_per_thread takes a whole number of at least 1, not True",
        ),
        (
            lambda: Journey(buy, tasks_per_thread=5),
            "tasks_per_thread belongs to an async def, and buy is none; give it",
        ),
        (
            lambda: Journey(read, feed=cast(Any, "u.csv")),
            "feed takes rows like rows('users.csv'), not str; write feed=rows(…)",
        ),
        (lambda: Journey(read), "read takes a row and has no feed; write Journey(read, feed=rows('users.csv'))"),
        (lambda: Journey(buy, feed=USERS), "buy has a feed and takes no row; write def buy(http, row): ..."),
        (
            lambda: Journey(buy).replace(thread=1),  # type: ignore[call-arg]  # as is said at run time, too
            "Journey has no 'thread'; did you mean threads?",
        ),
    ],
)
def test_what_is_wrong_with_it_is_said_in_a_line(make: Callable[[], object], message: str):
    with pytest.raises(UsageError) as caught:
        make()

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_row_that_it_can_do_without_needs_no_feed():
    assert Journey(lambda http, row=None: 0).wanted == ()
    assert Journey(lambda http, row=None: 0, feed=USERS).wanted == ("row",)


# -- in a scenario


async def set_up_later(http: Any) -> None: ...


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"endpoints": [Shop]},
            "endpoints takes values like Endpoint('GET', '/') and functions like def buy(http): ...",
        ),
        ({"endpoints": [buy, Journey(buy)]}, "there are two journeys called 'buy'; give one of them a name, like"),
        (
            {"endpoints": [buy, Endpoint("GET", "http://h/", name="buy")]},
            "an endpoint and a journey are both called 'buy'; give one of them another name",
        ),
        (
            {"endpoints": [Journey(browse, tasks_per_thread=2), buy]},
            "browse has tasks_per_thread beside other endpoints; give it threads of its own",
        ),
        (
            {"endpoints": [Journey(browse, tasks_per_thread=2)], "rate": 5},
            "browse has tasks_per_thread; with a rate, each",
        ),
        (
            {"endpoints": [Journey(buy, threads=2)], "rate": 5},
            "buy has threads of its own; with a rate, give it a weight",
        ),
        (
            {"endpoints": [Journey(buy, threads=2)], "phases": [hold("1s")]},
            "buy has threads of its own, which phases do not change; give it a weight",
        ),
        ({"endpoints": [buy], "setup": "login"}, "setup takes a function like def setup(http): ..., not 'login'"),
        (
            {"endpoints": [buy], "setup": read},
            "the setup of the scenario takes 'row'; it is given http (by any name)",
        ),
        (
            {"endpoints": [buy], "setup": set_up_later},
            "the setup of the scenario is async, and no event loop runs then",
        ),
        ({"endpoints": [buy], "teardown": yields}, "the teardown of the scenario yields, and is called once"),
    ],
)
def test_what_is_wrong_with_it_in_a_scenario_is_said_in_a_line(fields: dict[str, Any], message: str):
    with pytest.raises(UsageError) as caught:
        Scenario(**fields)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_scenario_of_journeys_needs_no_base_url_and_has_no_row_of_theirs():
    shop = Scenario(base_url=URL, endpoints=[Endpoint("GET", "/"), buy])

    assert shop.labels == ("GET /",)
    assert [journey.label for journey in shop.journeys] == ["buy"]
    assert Scenario(endpoints=[buy]).base_url is None


# -- the decorator


def test_a_function_becomes_a_scenario_of_its_own():
    made = scenario(threads=3, duration="5s", base_url=URL)(buy)

    assert made == Scenario(
        endpoints=[buy], threads=3, duration=5, base_url=URL, name="buy", description="Buy something."
    )
    assert scenario(buy) == Scenario(endpoints=[buy], name="buy", description="Buy something.")
    assert scenario(name="mine")(browse).name == "mine"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scenario(threads=2)(Shop), "@scenario takes a function like def buy(http): ..., not <class"),
        (
            lambda: scenario(threads=2)(cast(Any, Scenario(endpoints=[buy]))),
            "@scenario takes a function like def buy(http): ..., not",
        ),
        (lambda: scenario(endpoints=[buy])(browse), "@scenario makes a scenario of the function below it; for several"),
        (lambda: scenario(threads=0)(buy), "threads takes a whole number of at least 1, not 0"),
    ],
)
def test_what_is_wrong_with_a_decorated_one_is_said_in_a_line(make: Callable[[], object], message: str):
    with pytest.raises(UsageError) as caught:
        make()

    assert str(caught.value).startswith(message)
