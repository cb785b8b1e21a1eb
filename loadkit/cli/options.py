"""Words of the command line that several commands read alike."""

from __future__ import annotations

import contextlib
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from loadkit.cli.parser import argument, option
from loadkit.plan.errors import UsageError
from loadkit.plan.redact import HIDDEN

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario

# each is shown by `--help` in a panel of its own
load_option = partial(option, group="Load")
request_option = partial(option, group="Requests")
judgement_option = partial(option, group="Judgement")
list_option = partial(option, group="List")
file_option = partial(option, group="Files")
output_option = partial(option, group="Output")

Targets = Annotated[list[str], argument(help="Scenario files, folders, file.py::name, or URLs.")]
Headers = Annotated[
    list[str] | None,
    request_option("--header", "-H", value="HEADER", help="'Name: value'; ${NAME} is from the environment."),
]
Authorities = Annotated[str | None, request_option(help="Authorities to trust, not the system's: a file or folder.")]
ClientCertificate = Annotated[str | None, request_option(help="A client's certificate (and key) file.")]
Insecure = Annotated[bool, request_option("--insecure", "-k", help="Do not verify certificates.")]
Page = Annotated[Path | None, output_option("--html", value="FILE", help="Write the report as a page, in one file.")]
History = Annotated[
    Path | None,
    output_option("--history", envvar="LOADKIT_HISTORY", help="Keep a line a run in this folder: .loadkit/history."),
]
Markdown = Annotated[
    Path | None,
    output_option(
        "--markdown", value="FILE", help="Write the report as Markdown, for a comment or a summary on GitHub."
    ),
]
Csv = Annotated[
    Path | None,
    output_option(
        "--csv", value="FILE", help="Rows as a table, and each second in FILE-intervals.csv; - (of any format): stdout."
    ),
]
Junit = Annotated[Path | None, output_option("--junit", value="FILE", help="Thresholds as cases of JUnit XML.")]
Hgrm = Annotated[
    Path | None, output_option("--hgrm", value="FILE", help="Response times as HdrHistogram's percentiles, in ms.")
]
Hlog = Annotated[
    Path | None, output_option("--hlog", value="FILE", help="Histograms of each second as HdrHistogram's log.")
]
Prometheus = Annotated[
    Path | None, output_option("--prometheus", value="FILE", help="The figures in Prometheus' text format.")
]
Otlp = Annotated[
    str | None,
    output_option("--otlp", value="URL", help="Send OpenTelemetry metrics there while it runs: http://127.0.0.1:4318."),
]
Full = Annotated[bool, output_option("--full", help="All that was found, not a screen of it.")]
Quiet = Annotated[bool, output_option("--quiet", "-q", help="No progress, no report; the exit code tells.")]


def load_scenarios(targets: list[str], *, broken: dict[str, str] | None = None) -> list[Scenario]:
    """The scenarios that targets name; what their files print goes to stderr.

    `broken` takes the names and messages of files that cannot be read; without it such a file is an error.
    """
    from loadkit.jobs.printing import printing_on_stderr
    from loadkit.plan.loader import load

    for target in targets:
        if target.isdecimal() and not Path(target).exists():
            # as others take -q and -d
            hint = "-q is --quiet and takes no value, a rate is --rate 10/s, a duration --duration 10s"
            raise UsageError(f"there is no file or folder {target!r}; {hint}")
    with printing_on_stderr():
        return [scenario for target in targets for scenario in load(target, broken=broken)]


def target_of(scenario: Scenario) -> str:
    """What to type to run this one alone: `scenarios/shop.py::browse`; of a URL without its secrets."""
    from loadkit.plan.redact import redact_url

    if scenario.source is None or not scenario.source.target:
        return scenario.name or ""
    path, separator, name = scenario.source.target.partition("::")
    if not separator:
        return redact_url(path)
    with contextlib.suppress(ValueError):  # on another disk
        path = min(path, os.path.relpath(path), key=len)
    return f"{path}::{name}"


def load_scenario(target: str, *, to_be: str) -> Scenario:
    """The only scenario that a target names; `UsageError` where it has several, of which one is to be chosen."""
    found = load_scenarios([target])
    if len(found) > 1:
        names = ", ".join(f"{target}::{one.name}" for one in found)
        raise UsageError(f"{target} has {len(found)} scenarios, and one is {to_be}; name it: {names}")
    return found[0]


def whole_number(option: str, text: str | None) -> int | None:
    """A number; read here, so that the complaint names the value."""
    try:
        return None if text is None else int(text)
    except ValueError:
        raise UsageError(f"{option} takes a whole number like 16, not {text!r}") from None


def read_header(text: str) -> tuple[str, str]:
    """`Name: value` as it is given on the command line; `UsageError` for what is not."""
    name, separator, value = text.partition(":")
    if not separator:
        # without a name the text may be the value alone, which may be a secret
        shown = name if re.fullmatch("[A-Za-z-]{1,30}", name) else HIDDEN
        raise UsageError(f"cannot read the header {shown!r}; write it like 'Accept: text/html'")
    return name.strip(), value.strip()
