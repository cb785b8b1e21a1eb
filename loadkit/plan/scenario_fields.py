"""What each field of a scenario accepts, as it is kept."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from loadkit.plan.arrivals import SPACINGS
from loadkit.plan.data import Rows
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import check_headers, check_name, check_whole_number, parse_positive_seconds
from loadkit.plan.journey import Journey, check_no_generator, wanted_parameters
from loadkit.plan.phases import Phase
from loadkit.plan.recorded import RecordedArrivals
from loadkit.plan.think_time import parse_think_time
from loadkit.plan.threshold import Threshold
from loadkit.plan.units import per_second, seconds, size
from loadkit.plan.urls import check_target, check_url


class Reader(Protocol):
    """Gives the value of a field as it is kept; `UsageError`, naming the field, for one it cannot use."""

    def __call__(self, value: Any, /, *, what: str) -> Any: ...


def _optional(read: Reader) -> Reader:
    def read_unless_none(value: Any, *, what: str) -> Any:
        return None if value is None else read(value, what=what)

    return read_unless_none


def parse_base_url(given: object, *, what: str) -> str:
    """A URL that paths can be joined to; `UsageError` for others."""
    url = check_url(given, what=what)
    if re.search(r"[?#]", url):
        raise UsageError(f"{what} ends with a query or fragment, and paths are joined to it; give it to the endpoints")
    return url


def _endpoints(given: object, *, what: str) -> tuple[Endpoint | Journey, ...]:
    if isinstance(given, Endpoint | Journey) or (callable(given) and not isinstance(given, type)):
        given = (given,)
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise UsageError(f"{what} takes a list like [Endpoint('GET', '/')], not {given!r}")
    plans = tuple(map(_plan, given))
    names = [one.label for one in plans if isinstance(one, Journey)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(
            f"there are two journeys called {twice!r}; give one of them a name, like Journey({twice}, name='b')"
        )
    if shared := next((one.label for one in plans if isinstance(one, Endpoint) and one.label in names), None):
        raise UsageError(f"an endpoint and a journey are both called {shared!r}; give one of them another name")
    return plans


def _plan(given: object) -> Endpoint | Journey:
    if isinstance(given, Endpoint | Journey):
        return given
    if callable(given) and not isinstance(given, type):
        return Journey(given)
    raise UsageError(
        f"endpoints takes values like Endpoint('GET', '/') and functions like def buy(http): ..., not {given!r}"
    )


def _seed(given: object, *, what: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise UsageError(f"{what} takes a whole number like 1, not {given!r}")
    return given


def _think_time(given: object, *, what: str) -> Any:  # noqa: ARG001 - as all readers are called
    return parse_think_time(given)


def _rate(given: Any, *, what: str) -> float:
    value = per_second(given)
    if not value:
        raise UsageError(f"{what} must be more than 0, not {given!r}; leave it out for a closed workload")
    return value


def _arrivals(given: Any, *, what: str) -> str | RecordedArrivals:
    if isinstance(given, RecordedArrivals):
        return given
    if given not in SPACINGS:
        raise UsageError(f"there are no {what} {given!r}; use one of {', '.join(SPACINGS)}")
    return str(given)


def _phases(given: object, *, what: str) -> tuple[Phase, ...]:
    if isinstance(given, Phase):
        given = (given,)
    if not isinstance(given, Sequence) or not all(isinstance(phase, Phase) for phase in given):
        raise UsageError(f"{what} takes a list like [ramp('30s', to=50), hold('2m')], not {given!r}")
    if given and not sum(phase.duration for phase in given):
        raise UsageError("the phases last no time at all; give one of them a duration like '30s'")
    return tuple(given)


def _headers(given: object, *, what: str) -> Mapping[str, str]:  # noqa: ARG001 - as all readers are called
    return check_headers(given)


def _texts(given: object, *, what: str, like: list[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(text, str) for text in given):
        raise UsageError(f"{what} takes a list of strings like {like!r}, not {given!r}")
    return tuple(given)


def _thresholds(given: object, *, what: str) -> tuple[str, ...]:
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = [one.text if isinstance(one, Threshold) else one for one in given]
    return _texts(given, what=what, like=["p99 < 250ms"])


_GIVEN: Final = {"setup": ("http",), "teardown": ("http", "shared"), "thread_setup": ("http", "shared", "row")}


def _hook(function: Any, *, what: str) -> Any:
    if not callable(function) or isinstance(function, type):
        raise UsageError(f"{what} takes a function like def {what}(http): ..., not {function!r}")
    whose = f"the {what} of the scenario"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{whose} is async, and no event loop runs then; write it like def {what}(http): ...")
    if what == "teardown":
        check_no_generator(function, what=whose)
    wanted_parameters(function, what=whose, given=_GIVEN[what])
    return function


def _thread_feed(given: object, *, what: str) -> Rows:
    if not isinstance(given, Rows):
        raise UsageError(f"{what} takes rows like rows('users.csv'), not {type(given).__name__}")
    return given


def _processes(given: Any, *, what: str) -> int | str:
    if given == "auto":
        return "auto"
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise UsageError(f"{what} takes a whole number of at least 1, or 'auto', not {given!r}")
    return given


ENGINES: Final = ("auto", "loop", "threads")


def parse_engine(given: Any, *, what: str) -> str:
    """How users are carried; `UsageError` for what is none of the ways."""
    if given not in ENGINES:
        raise UsageError(f"there is no {what} {given!r}; use one of {', '.join(ENGINES)}")
    return str(given)


def is_application(server: Sequence[str]) -> bool:
    """True for the name of an application, in the place of a command."""
    return len(server) == 1 and bool(re.fullmatch(r"[^\s:]+:[A-Za-z_][\w.]*(\(\))?", server[0]))


def _server(given: object, *, what: str) -> tuple[str, ...]:
    if isinstance(given, str) and is_application((given,)):
        return (given,)
    command = _texts(given, what=what, like=["python", "app.py"])
    if not command:
        raise UsageError(f"{what} takes a command like ['python', 'app.py'], not nothing")
    return command


def _flag(given: object, *, what: str) -> bool:
    if not isinstance(given, bool):
        hint = "; a file of authorities goes to ca" if what == "verify" else ""
        raise UsageError(f"{what} takes True or False, not {given!r}{hint}")
    return given


def _path(given: object, *, what: str) -> str | Path:
    if not isinstance(given, str | Path):
        raise UsageError(f"{what} takes the path of a file, not {given!r}")
    return given


def _certificate(given: Any, *, what: str) -> Any:
    pair = given if isinstance(given, tuple) and len(given) == 2 else (given,)
    if not all(isinstance(file, str | Path) for file in pair):
        raise UsageError(f"{what} takes the path of a file, or (certificate, key)")
    return given


def _name(given: Any, *, what: str) -> Any:  # noqa: ARG001 - as all readers are called
    check_name(given)
    return given


def _prepare(given: object, *, what: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise UsageError(f"{what} takes a command line like 'pip install -e .', not {given!r}")
    return given


def _description(given: object, *, what: str) -> str:
    if not isinstance(given, str):
        raise UsageError(f"{what} takes text, not {given!r}")
    return given


READERS: Final[dict[str, Reader]] = {
    "server": _optional(_server),
    "base_url": _optional(parse_base_url),
    "endpoints": _endpoints,
    "threads": check_whole_number,
    "iterations": _optional(check_whole_number),
    "iterations_per_thread": _optional(check_whole_number),
    "max_threads": _optional(check_whole_number),
    "seed": _seed,
    "duration": _optional(parse_positive_seconds),
    "timeout": _optional(parse_positive_seconds),
    "ready_timeout": _optional(parse_positive_seconds),
    "warmup": seconds,
    "pacing": seconds,
    "graceful_stop": seconds,
    "think_time": _think_time,
    "rate": _optional(_rate),
    "arrivals": _arrivals,
    "phases": _phases,
    "headers": _headers,
    "body_limit": size,
    "thresholds": _thresholds,
    "setup": _optional(_hook),
    "teardown": _optional(_hook),
    "thread_setup": _optional(_hook),
    "thread_feed": _optional(_thread_feed),
    "processes": _processes,
    "engine": parse_engine,
    "ready": check_target,
    "prepare": _optional(_prepare),
    "verify": _flag,
    "keep_going": _flag,
    "ca": _optional(_path),
    "cert": _optional(_certificate),
    "name": _name,
    "description": _description,
}
"""Of each field but `source`, in the order in which they are read."""
