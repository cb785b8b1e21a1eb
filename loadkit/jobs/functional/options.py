"""The options of functional tests under load; every pytest imports this, so it imports nothing but pytest."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

import pytest

FIELDS: Final = {
    "load_threads": "threads",
    "load_processes": "processes",
    "load_for": "duration",
    "load_rate": "rate",
    "load_iterations": "iterations",
    "load_phase": "phases",
    "load_warmup": "warmup",
    "load_threshold": "thresholds",
}
"""Which field of a scenario each option says."""

_OF_LOAD_TESTS: Final = {
    "load_duration": "say how long with --load-for",
    "load_only": "leave it away",
    "no_load": "leave it away",
}
"""Options that only load tests follow, and what to do instead."""

_SCENARIO: Final = "'checkout: tests/test_shop.py -k buy --load-threads 20 --load-for 30s'"

_WITH: Final = {
    "load_limit": ("tries loads of its own", ("load_threshold",)),
    "load_against": ("compares short rounds", ("load_threads", "load_rate")),
}
"""What takes the place of a load, how, and which of the options of a load it follows."""

_STARTING: Final = ("load_threads", "load_rate", "load_phase", "load_processes", "load_limit")


def add_functional_options(parser: pytest.Parser) -> None:
    """Tell pytest of them."""
    add = parser.getgroup("loadkit", "load tests").addoption
    add("--load-threads", metavar="N", help="Run the selected tests again and again, on so many threads.")
    add(
        "--load-processes",
        metavar="N",
        help="On so many processes, which share the threads; one each if not said.",
    )
    add("--load-rate", metavar="RATE", help="The same by the clock: 20/s tests begin, whatever the last ones do.")
    add("--load-for", metavar="TIME", help="How long these run: 30s; 10 s if not said.")
    add("--load-iterations", metavar="N", help="How many tests are run in all, in the place of a time.")
    add("--load-phase", metavar="PHASE", action="append", help="ramp:30s:50, ramp:30s:200/s, hold:2m; in this order.")
    add("--load-warmup", metavar="TIME", help="Run them for so long before, in no figure.")
    add("--load-threshold", metavar="LIMIT", action="append", help="What must hold: 'test_buy: p99 < 2s'.")
    add("--load-limit", metavar="rate", help="Search the highest rate that holds the thresholds; or threads.")
    add("--load-scenario", metavar="NAME", help="Run the tests that the setting load_scenarios names so.")
    add("--load-fixtures", action="store_const", const=True, help="Rows for set-up and tear-down: test_buy setup.")
    parser.addini("load_scenarios", "Tests and their load: 'checkout: -k buy --load-threads 20'.", type="linelist")
    parser.addini("load_not_on_threads", "Fixtures that threads cannot use: 'frozen: it stops the clock'.", "linelist")


def add_words_of_scenario(config: pytest.Config, args: list[str]) -> None:
    """Put what the setting says of `--load-scenario` before what is on the command line, which wins."""
    wanted = getattr(config.known_args_namespace, "load_scenario", None)
    if wanted is None:
        return
    known = dict(map(_read_scenario, config.getini("load_scenarios")))
    if wanted not in known:
        there = f"there are {', '.join(known)}" if known else f"write it like {_SCENARIO}"
        raise pytest.UsageError(f"there is no scenario {wanted!r} in load_scenarios; {there}")
    args[:0] = [_from_root(config, word) for word in known[wanted]]


def _read_scenario(line: str) -> tuple[str, list[str]]:
    name, colon, words = line.partition(":")
    try:
        if colon and name.strip():
            return name.strip(), shlex.split(words)
    except ValueError:
        pass  # a quote that is not closed
    raise pytest.UsageError(f"cannot read {line!r} in load_scenarios; write it like {_SCENARIO}")


def _from_root(config: pytest.Config, word: str) -> str:
    """Files of the settings are in the folder of these, wherever pytest was started."""
    is_file = not word.startswith("-") and (config.rootpath / word.partition("::")[0]).exists()
    return str(config.rootpath / word) if is_file and config.rootpath != config.invocation_params.dir else word


def is_functional(config: pytest.Config) -> bool:
    """True if the tests of this session are to be run under load."""
    return any(config.getoption(name) is not None for name in _STARTING)


def check_functional_options(config: pytest.Config) -> None:
    """Refuse what says how tests are run under load where nothing says that they are, and what cannot go with it."""
    if not is_functional(config):
        if name := config.getoption("load_scenario"):
            raise pytest.UsageError(f"the scenario {name} says no load; add --load-threads 20 to it in load_scenarios")
        for name in (*FIELDS, "load_fixtures"):
            if config.getoption(name) is not None:
                raise pytest.UsageError(
                    f"{_option(name)} belongs to --load-threads N or --load-rate R; give one of them"
                )
        return
    for name, advice in _OF_LOAD_TESTS.items():
        if (given := config.getoption(name)) is True or given not in (None, False, 1):
            raise pytest.UsageError(f"{_option(name)} is for load tests, and these are tests under load; {advice}")
    for name, (why, followed) in _WITH.items():
        given = [one for one in (*FIELDS, *_WITH) if config.getoption(one) is not None]
        given += ["load_repeat"] * (config.getoption("load_repeat") > 1)
        if name in given and (other := next((one for one in given if one not in (name, *followed)), None)):
            raise pytest.UsageError(f"{_option(name)} {why}; leave {_option(other)} out")
    if config.getoption("numprocesses", None) or (hasattr(config, "workerinput") and not is_part(config)):
        raise pytest.UsageError("tests under load have threads and processes of their own; say -n 0, or leave -n away")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def load_name(config: pytest.Config) -> str:
    """How results, baselines and the history call the load."""
    return str(config.getoption("load_scenario") or "tests under load")


def fields_of(config: pytest.Config) -> dict[str, Any]:
    """The fields of the scenario, as they were given."""
    given = {field: config.getoption(name) for name, field in FIELDS.items()}
    for name in ("threads", "processes", "iterations"):
        if given[name] is not None:
            given[name] = _whole(f"--load-{name}", given[name])
    if given["phases"] is not None:
        from loadkit.plan.phases import phase

        given["phases"] = [phase(text) for text in given["phases"]]
    if given["processes"] and not is_open(given) and given["threads"] is None:
        given["threads"] = given["processes"]
    return {field: value for field, value in given.items() if value is not None}


def runs_one_at_a_time(config: pytest.Config) -> bool:
    """True if each of several processes has one thread, so that no two tests share an interpreter at a time."""
    if not is_functional(config):
        return False
    given = fields_of(config)
    return given.get("processes", 1) > 1 and given.get("threads") == given["processes"] and not is_open(given)


def is_open(given: Mapping[str, Any]) -> bool:
    """True if fields say a rate, or phases."""
    return given.get("rate") is not None or given.get("phases") is not None


def is_part(config: pytest.Config) -> bool:
    """True in a process that runs a part of the load."""
    return "loadkit_part" in getattr(config, "workerinput", ())


def _whole(option: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise pytest.UsageError(f"{option} takes a whole number, like {option} 20, not {value!r}") from None
