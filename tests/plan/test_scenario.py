"""A scenario is data: checked when it is made, frozen, printed without secrets."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError, UsageError
from loadkit.plan.phases import hold, ramp
from loadkit.plan.scenario import Scenario, addressed

HOME = Endpoint("GET", "/")
SPAN = "write it like '30s', '250ms' or '1m30s'"


def scenario(**fields: Any) -> Scenario:
    return Scenario(**{"base_url": "http://h", "endpoints": [HOME]} | fields)


def complaint(**fields: Any) -> str:
    with pytest.raises(UsageError) as caught:
        scenario(**fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("what", ["threads", "iterations"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "4", math.inf], ids=repr)
def test_counts_are_whole_numbers_above_0(what: str, value: Any) -> None:
    assert complaint(**{what: value}) == f"{what} takes a whole number of at least 1, not {value!r}"


@pytest.mark.parametrize("what", ["duration", "timeout", "ready_timeout", "warmup", "think_time", "graceful_stop"])
@pytest.mark.parametrize("value", ["fast", "", "-1s", -1, math.inf, math.nan, True, 10**400], ids=lambda v: repr(v)[:9])
def test_spans_of_time_can_be_read(what: str, value: Any) -> None:
    assert complaint(**{what: value}) == f"cannot read the {what} {value!r}; {SPAN}"


@pytest.mark.parametrize("what", ["duration", "timeout", "ready_timeout"])
def test_some_spans_are_more_than_nothing(what: str) -> None:
    assert complaint(**{what: "0s"}) == f"{what} must be more than 0, not '0s'"


@pytest.mark.parametrize("what", ["warmup", "think_time", "graceful_stop"])
def test_others_may_be_nothing(what: str) -> None:
    assert getattr(scenario(**{what: 0}), what) == 0.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"endpoints": []}, "endpoints takes a list like [Endpoint('GET', '/')], not []"),
        ({"endpoints": None}, "endpoints takes a list like [Endpoint('GET', '/')], not None"),
        ({"endpoints": "/"}, "endpoints takes a list like [Endpoint('GET', '/')], not '/'"),
        (
            {"endpoints": ["/"]},
            "endpoints takes values like Endpoint('GET', '/') and functions like def buy(http): ..., not '/'",
        ),
        ({"base_url": ""}, "base_url takes a URL like 'http://127.0.0.1:8000', not ''"),
        ({"base_url": 8000}, "base_url takes a URL like 'http://127.0.0.1:8000', not 8000"),
        (
            {"base_url": "http://h\r\n"},
            "base_url 'http://h\\r\\n' holds a control character; percent-encode it",
        ),
        ({"base_url": "h:8000"}, "base_url 'h:8000' has no scheme; write it like 'http://h:8000'"),
        ({"base_url": "//h"}, "base_url '//h' has no scheme; write it like 'http://h'"),
        ({"base_url": "ws://h"}, "base_url 'ws://h' has the scheme 'ws'; loadkit speaks http, https, http+unix"),
        # the paths would become a part of the query
        (
            {"base_url": "http://h/?a=1"},
            "base_url ends with a query or fragment, and paths are joined to it; give it to the endpoints",
        ),
        ({"headers": {"A": "b\r\nX: y"}}, "the header 'A' takes a string without line breaks"),
        ({"body_limit": "big"}, "cannot read the body_limit 'big'; write it like '16MB' or '64KiB'"),
        ({"body_limit": -1}, "cannot read the body_limit -1; write it like '16MB' or '64KiB'"),
        ({"thresholds": "p99 < 1s"}, "thresholds takes a list of strings like ['p99 < 250ms'], not 'p99 < 1s'"),
        ({"thresholds": [5]}, "thresholds takes a list of strings like ['p99 < 250ms'], not [5]"),
        (
            {"thresholds": ["p99 < fast"]},
            (
                "cannot read the threshold 'p99 < fast'; "
                "write it like 'p99 < 250ms', 'throughput > 500/s' or 'GET /search: error_rate < 1%'"
            ),
        ),
        (
            {"thresholds": ["GET /nowhere: p99 < 1s"]},
            "the threshold 'GET /nowhere: p99 < 1s' names no endpoint of the scenario; there are 'GET /'",
        ),
        # requests takes a file here
        ({"verify": "ca.pem"}, "verify takes True or False, not 'ca.pem'; a file of authorities goes to ca"),
        ({"verify": "no"}, "verify takes True or False, not 'no'; a file of authorities goes to ca"),
        ({"keep_going": "no"}, "keep_going takes True or False, not 'no'"),
        ({"ca": True}, "ca takes the path of a file, not True"),
        ({"cert": 5}, "cert takes the path of a file, or (certificate, key)"),
        ({"cert": ("a", "b", "c")}, "cert takes the path of a file, or (certificate, key)"),
        ({"server": "python app.py"}, "server takes a list of strings like ['python', 'app.py'], not 'python app.py'"),
        ({"server": []}, "server takes a command like ['python', 'app.py'], not nothing"),
        ({"ready": "up"}, "ready 'up' is neither a path like '/up' nor a URL like 'http://up'"),
        ({"name": ""}, "name takes text like 'search', not ''"),
        ({"name": 5}, "name takes text like 'search', not 5"),
        # null in a stored result, which could not be read again
        ({"description": None}, "description takes text, not None"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(fields: dict[str, Any], said: str) -> None:
    assert complaint(**fields) == said


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "GET / is relative; give shop a base_url like 'http://127.0.0.1:8000', or --base-url"),
        ({"endpoints": [Endpoint("GET", "http://h/")], "server": ["x"]}, "ready '/' is relative; give shop a base_url"),
    ],
)
def test_where_requests_go_may_be_said_late_and_must_be_said_in_the_end(fields: dict[str, Any], message: str) -> None:
    nowhere = Scenario(**{"name": "shop", "endpoints": [Endpoint("GET", "/")]} | fields)

    with pytest.raises(UsageError) as caught:
        addressed(nowhere)

    assert str(caught.value).startswith(message)
    addressed(nowhere.replace(base_url="http://h"))


@pytest.mark.parametrize(
    ("fields", "found"),
    [({}, "http://env:1"), ({"base_url": "http://h"}, "http://h"), ({"server": ["x", "{port}"]}, "http://127.0.0.1:0")],
)
def test_the_environment_has_the_last_word_on_where_requests_go(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], found: str
) -> None:
    monkeypatch.setenv("LOADKIT_BASE_URL", "http://env:1")

    assert addressed(Scenario(endpoints=[Endpoint("GET", "/")], **fields)).base_url == found


def test_a_base_url_of_the_environment_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADKIT_BASE_URL", "shop:8000")

    with pytest.raises(UsageError, match=r"^LOADKIT_BASE_URL 'shop:8000' has no scheme; write it like 'http://shop"):
        addressed(Scenario(endpoints=[Endpoint("GET", "/")]))


def test_a_complaint_of_a_base_url_does_not_tell_its_password() -> None:
    for url in ("ftp://me:s3cret@h", "me:s3cret@h", "http://me:s3cret@", "http://h/?token=s3cret"):
        assert "s3cret" not in complaint(base_url=url)


def test_replacing_a_field_there_is_not_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"^Scenario has no 'users'; it has endpoints, base_url, threads, duration, "):
        scenario().replace(users=3)  # type: ignore[call-arg]  # as is said at run time, too


def test_a_replaced_field_is_checked_against_the_others() -> None:
    limited = scenario(thresholds=["GET /: p99 < 1s"])
    with pytest.raises(UsageError, match=r"names no endpoint of the scenario; there are 'GET /b'$"):
        limited.replace(endpoints=[Endpoint("GET", "/b")])


def test_text_with_units_is_kept_as_numbers() -> None:
    made = scenario(duration="1m30s", warmup="5s", timeout="250ms", body_limit="1MB")
    assert (made.duration, made.warmup, made.timeout, made.body_limit) == (90.0, 5.0, 0.25, 1_000_000)


def test_one_endpoint_may_stand_without_a_list() -> None:
    assert scenario(endpoints=HOME).endpoints == (HOME,)


def test_a_full_url_needs_no_base() -> None:
    assert scenario(base_url=None, endpoints=[Endpoint("GET", "http://h/x")]).labels == ("GET http://h/x",)


@pytest.mark.parametrize("cert", [None, "both.pem", Path("both.pem"), ("cert.pem", Path("key.pem"))])
def test_a_certificate_is_a_file_or_two(cert: Any) -> None:
    assert scenario(cert=cert).cert == cert


def test_a_label_that_two_endpoints_share_is_one_row() -> None:
    two = [Endpoint("GET", "/a?x"), Endpoint("GET", "/a?y"), Endpoint("GET", "/b")]
    assert scenario(endpoints=two).labels == ("GET /a", "GET /b")


@pytest.mark.parametrize(
    ("own", "total"),
    [
        ([None, None], 16),  # both share
        ([None, 4], 20),  # one shares, one has its own beside them
        ([3, 4], 7),  # nobody shares
    ],
)
def test_threads_in_all_are_the_shared_and_the_own(own: list[int | None], total: int) -> None:
    endpoints = [Endpoint("GET", f"/{k}", threads=threads) for k, threads in enumerate(own)]
    assert scenario(endpoints=endpoints, threads=16).total_threads == total


def test_a_scenario_is_a_frozen_value_equal_to_its_like() -> None:
    one = scenario(duration="30s", thresholds=["p99 < 1s"], headers={"A": "b"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.threads = 2  # type: ignore[misc]
    assert one == scenario(duration=30, thresholds=("p99 < 1s",), headers={"A": "b"})
    assert one == one.replace() == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))
    assert one != one.replace(threads=2)


def test_lists_changed_later_are_not_its_lists() -> None:
    endpoints, limits, headers = [HOME], ["p99 < 1s"], {"A": "b"}
    made = scenario(endpoints=endpoints, thresholds=limits, headers=headers)
    for mine in (endpoints, limits, headers):
        mine.clear()
    assert (made.endpoints, made.thresholds, made.headers) == ((HOME,), ("p99 < 1s",), {"A": "b"})


def test_its_repr_says_what_was_said_and_no_secrets() -> None:
    made = scenario(base_url="http://me:s3cret@h", headers={"Cookie": "s3cret"}, cert="s3cret", threads=4, name="shop")
    assert repr(made) == (
        "Scenario(endpoints=(Endpoint(method='GET', path='/'),), base_url='http://***@h', threads=4, name='shop')"
    )


@pytest.mark.parametrize(
    ("error", "parent", "code"),
    [
        (LoadkitError, Exception, 3),
        (UsageError, LoadkitError, 4),
        (NothingToRun, UsageError, 5),
        (OutputError, LoadkitError, 3),
    ],
)
def test_errors_are_split_by_whose_mistake_it_is(error: type[LoadkitError], parent: type, code: int) -> None:
    assert (error.__bases__, error.exit_code) == ((parent,), code)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rate": 0}, "rate must be more than 0, not 0; leave it out for a closed workload"),
        ({"rate": "fast"}, "cannot read the rate 'fast'; write it like '200/s' or '90/m'"),
        ({"rate": -5}, "cannot read the rate -5; write it like '200/s' or '90/m'"),
        ({"rate": 5, "arrivals": "random"}, "there are no arrivals 'random'; use one of constant, poisson"),
        ({"engine": "asyncio"}, "there is no engine 'asyncio'; use one of auto, loop, threads"),
        ({"arrivals": "poisson"}, "arrivals belongs to an open workload; give it a rate like '200/s'"),
        ({"max_threads": 5}, "max_threads belongs to an open workload; give it a rate like '200/s'"),
        ({"rate": 5, "max_threads": 0}, "max_threads takes a whole number of at least 1, not 0"),
        ({"rate": 5, "think_time": "1s"}, "think_time belongs to a closed workload; with a rate, requests are due by "),
        (
            {"rate": 5, "pacing": "1s"},
            "pacing belongs to a closed workload; with a rate, requests are due by the clock",
        ),
        ({"rate": 5, "iterations_per_thread": 2}, "iterations_per_thread belongs to a closed workload; with a rate, "),
        ({"think_time": "1s", "pacing": "1s"}, "think_time and pacing both say when a thread sends its next request; "),
        ({"iterations": 5, "iterations_per_thread": 2}, "iterations are those of the run and iterations_per_thread "),
        ({"rate": 5, "endpoints": [HOME.replace(threads=2)]}, "GET / has threads of its own; with a rate, give it a "),
        ({"seed": "x"}, "seed takes a whole number like 1, not 'x'"),
        ({"phases": "ramp:1s:5"}, "phases takes a list like [ramp('30s', to=50), hold('2m')], not 'ramp:1s:5'"),
        ({"phases": [50]}, "phases takes a list like [ramp('30s', to=50), hold('2m')], not [50]"),
        ({"phases": [ramp(0, to=5)]}, "the phases last no time at all; give one of them a duration like '30s'"),
        ({"phases": [ramp("1s", to=0)]}, "the phases never have any threads; say how many, like ramp('30s', to=50)"),
        ({"phases": [ramp("1s", to="0/s")]}, "the phases never have any rate; say how many, like ramp('30s', to=50)"),
        ({"phases": [ramp("1s", to=2.5)]}, "ramp has 0 to 2.5 threads; give whole numbers, or a rate like '2.5/s'"),
        ({"phases": [hold("1s")], "iterations": 5}, "phases end by the clock; leave the iterations out"),
        ({"phases": [ramp("1s", to=5)], "warmup": "1s"}, "warmup is at the load with which the phases begin, and that"),
        (
            {"phases": [hold("1s")], "endpoints": [HOME.replace(threads=2)]},
            "GET / has threads of its own, which phases",
        ),
        (
            {"phases": [hold("1s")], "thresholds": ["rush: p99 < 1s"]},
            "the threshold 'rush: p99 < 1s' names no endpoint or",
        ),
    ],
    ids=str,
)
def test_a_workload_that_cannot_be_is_told_in_a_line(fields: dict[str, Any], said: str) -> None:
    assert complaint(**fields).startswith(said)


def test_a_threshold_may_name_a_phase_and_an_endpoint_in_it() -> None:
    limits = ["hold: p99 < 1s", "GET /: p99 < 1s", "hold: GET /: p99 < 1s"]
    assert scenario(phases=[ramp("1s", to=5), hold("1s")], thresholds=limits).thresholds == tuple(limits)


def test_a_duration_makes_phases_longer_or_shorter_in_proportion() -> None:
    phased = scenario(phases=[ramp("30s", to=5), hold("90s")], duration="12s")

    assert [phase.duration for phase in phased.phases] == [3, 9]
    assert [phase.duration for phase in phased.replace(duration="4s").phases] == [1, 3]
    assert [phase.duration for phase in phased.replace(name="x").phases] == [3, 9]


def test_other_threads_or_another_rate_take_the_place_of_phases_and_of_what_is_said_of_them() -> None:
    phased = scenario(phases=[ramp("30s", to=5), hold("90s")], thresholds=["hold: p99 < 1s", "p99 < 2s"])

    constant = phased.replace(rate="20/s")
    assert (constant.phases, constant.duration, constant.thresholds) == ((), 120, ("p99 < 2s",))
    assert (phased.replace(threads=7).total_threads, phased.total_threads) == (7, 5)


def test_new_phases_take_the_place_of_a_duration() -> None:
    phased = scenario(duration="1h").replace(phases=[hold("10s")])

    assert (phased.duration, phased.phases) == (None, (hold("10s"),))
