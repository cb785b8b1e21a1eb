"""The options and settings of load tests.

Every pytest in an environment with loadkit in it imports this file, so it imports nothing but pytest.
"""

from __future__ import annotations

from typing import Final

import pytest

DEFAULT_BASELINES: Final = ".loadkit/baselines"

_ASKING: Final = (
    "load_duration",
    "load_json",
    "load_html",
    "load_markdown",
    "load_csv",
    "load_hlog",
    "load_prometheus",
    "load_otlp",
    "load_history",
    "load_save",
    "load_compare",
    "load_against",
    "load_tolerance",
    "load_budget",
    "load_undecided",
    "load_base_url",
    "load_report",
)
"""Options that are followed, or refused, before the first load test is met."""


def add_options(parser: pytest.Parser) -> None:
    """Tell pytest of the options, and of the settings for `[tool.pytest]`, `pytest.toml` or `pytest.ini`."""
    group = parser.getgroup("loadkit", "load tests")
    add = group.addoption
    add("--load-duration", metavar="TIME", help="Let every load test measure for so long, whatever it says: 1s.")
    add("--load-json", metavar="DIR", help="Store the result of each load test in a file of this folder.")
    add("--load-html", metavar="FILE", help="Write one page of all load tests of the session, in one file.")
    add("--load-markdown", metavar="FILE", help="Write all load tests as Markdown, for a comment on a pull request.")
    add("--load-csv", metavar="FILE", help="Write the rows of all load tests as a table, and each second beside it.")
    add("--load-hlog", metavar="FILE", help="Write their histograms of each second as HdrHistogram's log.")
    add("--load-prometheus", metavar="FILE", help="Write their figures in Prometheus' text format.")
    add("--load-otlp", metavar="URL", help="Send OpenTelemetry metrics there while each load runs.")
    add("--load-history", metavar="DIR", help="Keep a line a run in this folder, for loadkit history.")
    add("--load-save", metavar="NAME", help="Keep the results of tests that passed as the baseline of this name.")
    add("--load-compare", metavar="NAME", help="Show the results beside those of the same load in this baseline.")
    add("--load-compare-fail", action="store_true", help="Fail what is worse than the rounds of that baseline.")
    add("--load-repeat", metavar="N", type=int, default=1, help="Run each load so often: rounds to save or compare.")
    add("--load-against", metavar="REVISION", help="Compare each load test with this; one that is worse fails.")
    add("--load-tolerance", metavar="10%", action="append", help="How much worse a figure may become: p99=10%%.")
    add("--load-budget", metavar="TIME", help="How long one comparison may measure; 5m if not said.")
    add("--load-undecided", metavar="pass", help="pass: a comparison that cannot tell fails no test.")
    add("--load-base-url", metavar="URL", help="Aim every load test there; nothing is started.")
    add("--load-report", metavar="short", help="Of each run below a test that failed: short, full or no.")
    add("--load-only", action="store_true", help="Run load tests and nothing else.")
    add("--no-load", action="store_true", help="Skip load tests.")
    parser.addini("load_duration", "What --load-duration says if it is not given.", default="")
    parser.addini("load_json", "What --load-json says if it is not given; relative to the rootdir.", default="")
    parser.addini("load_html", "What --load-html says if it is not given; relative to the rootdir.", default="")
    parser.addini("load_markdown", "What --load-markdown says if it is not given; relative to the rootdir.", default="")
    parser.addini("load_csv", "What --load-csv says if it is not given; relative to the rootdir.", default="")
    parser.addini("load_hlog", "What --load-hlog says if it is not given; relative to the rootdir.", default="")
    parser.addini("load_prometheus", "What --load-prometheus says if it is not given.", default="")
    parser.addini("load_otlp", "What --load-otlp says if it is not given.", default="")
    parser.addini("load_history", "What --load-history says if it is not given; relative to the rootdir.", default="")
    parser.addini("load_tolerance", "What --load-tolerance says if it is not given.", type="args", default=[])
    parser.addini("load_budget", "What --load-budget says if it is not given.", default="")
    parser.addini("load_undecided", "What --load-undecided says if it is not given.", default="")
    parser.addini("load_report", "What --load-report says if it is not given.", default="short")
    parser.addini("load_prepare", "Sets up the environment of a revision that is compared: a command line.", default="")
    parser.addini("load_baselines", "The folder of baselines, relative to the rootdir.", default=DEFAULT_BASELINES)
    parser.addini("load_files", "Files whose scenarios are tests.", type="args", default=["scenario_*.py"])
    parser.addini("load_server", "What the fixture load_server starts: a command, or package.module:app.", type="args")
    parser.addini("load_server_ready", "The path that answers when load_server is up.", default="/")
    parser.addini("load_server_within", "How long load_server may take until it is up.", default="30s")
    parser.addini("load_server_cwd", "The folder that load_server runs in, relative to the rootdir.", default="")
    parser.addini("load_server_env", "Variables of its environment: NAME=value.", type="linelist", default=[])


_LISTS: Final = {
    "load_server": '["shop.app:app"]',
    "load_server_env": '["DEBUG=0"]',
    "load_files": '["scenario_*.py"]',
}


def check_options(config: pytest.Config) -> bool:
    """Refuse at the start what would be met in the middle of a session, or in each test.

    True where an option asks for something, so that a session of load tests is made to read it.
    """
    for name, example in _LISTS.items():
        try:
            config.getini(name)
        except (TypeError, pytest.UsageError):
            raise pytest.UsageError(f"{name} takes a list, like {name} = {example}") from None
    for variable in config.getini("load_server_env"):
        if not variable.partition("=")[1]:
            raise pytest.UsageError(f'load_server_env takes variables like "DEBUG=0", not {variable!r}')
    for name, usual in (("load_duration", ""), ("load_server_within", "30s")):
        if (given := config.getini(name)) != usual:
            _check_duration(name, given)
    if config.getoption("load_only") and config.getoption("no_load"):
        raise pytest.UsageError("--load-only and --no-load leave nothing to run; give one of them")
    if config.getoption("load_repeat") < 1:
        raise pytest.UsageError(f"--load-repeat must be at least 1, not {config.getoption('load_repeat')}")
    if config.getoption("load_compare_fail") and not config.getoption("load_compare"):
        raise pytest.UsageError("--load-compare-fail needs the name of a baseline: --load-compare main")
    return any(config.getoption(name) for name in _ASKING)


def _check_duration(name: str, given: str) -> None:
    from loadkit.plan.errors import UsageError
    from loadkit.plan.fields import parse_positive_seconds

    try:
        parse_positive_seconds(given, what=name)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
