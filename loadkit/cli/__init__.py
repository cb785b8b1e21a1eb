"""The command line: it turns words into values, calls a job, and turns what comes of it into text and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import loadkit
from loadkit._version import __version__
from loadkit.cli.demo import demo
from loadkit.cli.fetch import Voice, check_file, read_header
from loadkit.cli.fetch import add_to as add_fetch_to
from loadkit.plan.errors import LoadkitError, NothingToRun, OutputError, UsageError, reason_of

if TYPE_CHECKING:
    from loadkit.jobs.partial import Partial
    from loadkit.judge.result import Identity, Result
    from loadkit.plan.phases import Phase
    from loadkit.plan.scenario import Scenario

app = typer.Typer(
    name="loadkit",
    help="pytest for load and latency: run scenarios, believe the figures.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Target = Annotated[str, typer.Argument(help="A scenario file, a folder, file.py::name, or a URL.", show_default=False)]
Targets = Annotated[
    list[str], typer.Argument(help="Scenario files, folders, file.py::name, or URLs.", show_default=False)
]


# typer brings its own copy of click in some versions and takes the installed one in others
_WrongUsage: type[Exception] = typer.BadParameter.__bases__[0]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(_exit_code(sys.argv[1:] or ["--help"]))


def _exit_code(words: list[str]) -> int:
    try:
        code = app(words, standalone_mode=False)
    except LoadkitError as error:
        _complain(error)
        if type(error) is LoadkitError and error.__cause__:
            _print_traceback(error.__cause__)
        return error.exit_code
    except _WrongUsage as error:
        message, hint = _message(error), _hint(words)
        # typer suggests what is spelt alike, which is not what was meant where there is a hint
        message = message.partition(" (Possible")[0] if hint else message
        _complain(UsageError(f"{message}{hint} (loadkit --help tells more)"))
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 2
    except SystemExit as error:
        # typer and rich exit so where the pipe they print to is closed
        return 0 if _is_broken_output(error.__context__) else _fault(error)
    except Exception as error:  # noqa: BLE001 - Python's own exit code for it is 1, that of a missed threshold
        return _fault(error)
    # typer's code for a Ctrl-C before anything ran
    return 2 if code == 130 else code or 0


def _fault(error: BaseException) -> int:
    """Show a fault of ours."""
    _print_traceback(error)
    return LoadkitError.exit_code


def _print_traceback(error: BaseException) -> None:
    import traceback

    from loadkit.plan.redact import masked_message
    from loadkit.report.escape import visible

    lines = masked_message("".join(traceback.format_exception(error)), is_own=True).splitlines()
    with contextlib.suppress(OSError):
        typer.echo("\n".join(map(visible, lines)), err=True)


def _is_broken_output(error: BaseException | None) -> bool:
    """Whether a pipe broke at the command line itself, and not within a job."""
    import traceback

    ours = str(Path(loadkit.__path__[0]))
    frames = traceback.walk_tb(error.__traceback__ if error else None)
    files = [Path(frame.f_code.co_filename) for frame, _ in frames]
    return isinstance(error, BrokenPipeError) and all(
        file.relative_to(ours).parts[0] in ("cli", "__main__.py") for file in files if file.is_relative_to(ours)
    )


def _message(error: Exception) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return str(message).strip().rstrip(".").replace("\n", " ")


# how others call what loadkit has by another name
_ELSEWHERE = {
    "--host": "--base-url",
    "--users": "--threads",
    "--vus": "--threads",
    "--concurrency": "--threads",
    "--connections": "--threads",
    "--stage": "--phase",
    "--stages": "--phase",
    "--run-time": "--duration",
    "--requests": "--iterations",
    "--qps": "--rate",
}
_IN_A_FILE = ("-X", "--request", "--method", "-m", "--data", "-d", "--body")


def _hint(words: list[str]) -> str:
    """What to write in place of an option or command that there is not; empty where that is not known."""
    if words[0].endswith(".py") or "::" in words[0] or "://" in words[0]:
        return f"; write loadkit run {words[0]}"
    if words[0] != "run":
        return ""
    named = [word.partition("=")[0] for word in words]
    if option := next((word for word in named if word in _ELSEWHERE), None):
        return f"; loadkit's word for {option} is {_ELSEWHERE[option]}"
    if option := next((word for word in named if word in _IN_A_FILE), None):
        return "; methods and bodies are a scenario's, in a file: Endpoint('POST', '/orders', json={…})"
    return ""


def _complain(error: LoadkitError) -> None:
    from loadkit.plan.redact import masked_message
    from loadkit.report.escape import visible

    lines = masked_message(str(error), is_own=True).split("\n")
    typer.echo("\n".join([f"loadkit: {visible(lines[0])}", *(visible(line) for line in lines[1:])]), err=True)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"loadkit {__version__}")
        raise typer.Exit


@app.command()
def run(
    targets: Targets,
    threads: Annotated[str | None, typer.Option("--threads", "-c", help="Virtual users.")] = None,
    duration: Annotated[str | None, typer.Option("--duration", "-z", help="How long to measure: 30s, 1m30s.")] = None,
    iterations: Annotated[str | None, typer.Option("--iterations", "-n", help="Requests and journeys in all.")] = None,
    per_thread: Annotated[
        str | None, typer.Option("--iterations-per-thread", help="Requests and journeys of each thread.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", "-r", help="Arrivals by the clock (open workload): 200/s.")
    ] = None,
    arrivals: Annotated[str | None, typer.Option(help="constant or poisson, with a rate.")] = None,
    max_threads: Annotated[str | None, typer.Option(help="How many threads a rate may grow to.")] = None,
    phase: Annotated[
        list[str] | None,
        typer.Option(
            "--phase",
            help="ramp:30s:50, ramp:30s:200/s, hold:2m; in the order given; --duration stretches them.",
        ),
    ] = None,
    warmup: Annotated[str | None, typer.Option(help="Send before measuring, not counted: 5s.")] = None,
    think_time: Annotated[
        str | None, typer.Option(help="Pause of each thread between requests: 500ms, or 1s-3s for any between.")
    ] = None,
    pacing: Annotated[str | None, typer.Option(help="From start to start of a thread's requests: 1s.")] = None,
    processes: Annotated[
        str | None,
        typer.Option(
            help="Worker processes sharing the load: a number, or auto: one a CPU, less one if the target is here."
        ),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="For arrivals, think times and orders of rows; the same seed, the same run.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="Deadline of one request: 10s.")] = None,
    graceful_stop: Annotated[str | None, typer.Option(help="What requests in flight get at the end: 5s.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option("--threshold", "-t", help="A limit such as 'p99 < 250ms'; adds to the file's.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value'; ${NAME} is taken from the environment.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Aim the scenario at another server.")] = None,
    ca: Annotated[str | None, typer.Option(help="Authorities to trust, not the system's: a file or folder.")] = None,
    cert: Annotated[str | None, typer.Option(help="A client's certificate (and key) file.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Do not verify certificates.")] = False,
    demo_server: Annotated[bool, typer.Option("--demo", help="Start the demo server and aim at it.")] = False,
    keep_going: Annotated[bool, typer.Option(help="Go on although the target cannot be reached.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Each endpoint and journey once: are they sound?")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Store the result as JSON; while it runs, OUT.partial.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as a page, in one file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report; the exit code tells.")] = False,
) -> None:
    """Run scenarios and report what was found.

    Exit code: 0 passed, 1 a threshold or a request failed or the server that loadkit started ended, 2 interrupted,
    3 a fault of ours, 4 wrong usage, 5 nothing to run, 6 the load was not applied or the set-up failed.
    """
    from loadkit.plan.once import once as each_once

    changes = _given(
        threads=_whole("--threads", threads),
        duration=duration,
        iterations=_whole("--iterations", iterations),
        iterations_per_thread=_whole("--iterations-per-thread", per_thread),
        rate=rate,
        arrivals=arrivals,
        max_threads=_whole("--max-threads", max_threads),
        phases=_phases(phase),
        warmup=warmup,
        think_time=_think_time(think_time),
        pacing=pacing,
        processes=_processes(processes),
        seed=_whole("--seed", seed),
        timeout=timeout,
        graceful_stop=graceful_stop,
        base_url=base_url,
        ca=ca,
        cert=cert,
        verify=False if insecure else None,
        keep_going=keep_going or None,
    )
    if once:
        _check_once(changes, threshold)
    with ExitStack() as stack:
        if demo_server:
            from loadkit.server.demo import running_demo

            changes["base_url"] = stack.enter_context(running_demo()).url
        scenarios = [_changed(scenario, changes, threshold, header) for scenario in _scenarios(targets)]
        if once:
            scenarios = [each_once(scenario) for scenario in scenarios]
        code = _run_all(scenarios, output, html, quiet=quiet)
    raise typer.Exit(code)


@app.command("list")
def list_(targets: Targets) -> None:
    """List the scenarios that files and folders hold."""
    from loadkit.judge.description import describe
    from loadkit.report.escape import visible
    from loadkit.report.headline import describe_load

    lines = []
    for scenario in _scenarios(targets):
        lines.append(f"{visible(_target(scenario))}  {describe_load(describe(scenario))}")
        lines += [f"  {visible(label)}" for label in scenario.labels]
        lines += [f"  {visible(journey.label)} (journey)" for journey in scenario.journeys]
    raise typer.Exit(_say("\n".join(lines)))


def _target(scenario: Scenario) -> str:
    """What to type to run this one alone: `scenarios/shop.py::browse`; of a URL without its secrets."""
    from loadkit.plan.redact import masked_url

    if scenario.source is None:
        return scenario.name or ""
    path, separator, name = scenario.source.target.partition("::")
    if not separator:
        return masked_url(path)
    with contextlib.suppress(ValueError):  # on another disk
        path = min(path, os.path.relpath(path), key=len)
    return f"{path}::{name}"


@app.command()
def report(
    files: Annotated[list[Path], typer.Argument(help="Stored results; those of one load in several files are merged.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Store the merged result as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as a page, in one file.")] = None,
) -> None:
    """Make the report of stored results anew, merging what several files have of the same load.

    The same load is the same scenario of the same file, or the same test, with the same endpoints, workload and
    thresholds. Anything else, and all that is in one file, is reported apart. The exit code is that of the results.
    """
    from loadkit.judge.merge import merge
    from loadkit.judge.threshold_results import EXIT_CODES
    from loadkit.report.json import load

    of_same: dict[tuple[Identity, int], list[Result]] = {}
    _check_outputs(output, html, files)
    for file in files:
        if [other.resolve() for other in files].count(file.resolve()) > 1:
            raise UsageError(f"{file} is named more than once, and would be counted as often")
        seen: Counter[Identity] = Counter()
        for result in load(file):
            # two results of one load in one file are two runs of it, to be compared
            seen[result.identity] += 1
            of_same.setdefault((result.identity, seen[result.identity]), []).append(result)
    merged = [merge(results) for results in of_same.values()]
    faults = [_store(output, merged) if output else 0, *map(_print, merged), _paint(html, merged) if html else 0]
    raise typer.Exit(max(faults) or _worst([EXIT_CODES[result.outcome] for result in merged]))


app.command()(demo)


# what `--once` decides itself
_LOAD = {
    "threads",
    "duration",
    "iterations",
    "iterations_per_thread",
    "rate",
    "arrivals",
    "max_threads",
    "phases",
    "warmup",
    "think_time",
    "pacing",
    "processes",
}


def _check_once(changes: dict[str, Any], thresholds: list[str] | None) -> None:
    others = [name for name in changes if name in _LOAD] + (["threshold"] if thresholds else [])
    if others:
        option = {"phases": "phase"}.get(others[0], others[0]).replace("_", "-")
        raise UsageError(f"--once sends each endpoint once and judges failures alone; leave --{option} out")


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _whole(option: str, text: str | None) -> int | None:
    """A number; read here, because typer's own complaint does not name the value."""
    try:
        return None if text is None else int(text)
    except ValueError:
        raise UsageError(f"{option} takes a whole number like 16, not {text!r}") from None


def _processes(text: str | None) -> int | str | None:
    # what is neither is named by the scenario, which knows both forms
    with contextlib.suppress(ValueError):
        return text if text is None else int(text)
    return text


def _phases(texts: list[str] | None) -> list[Phase] | None:
    from loadkit.plan.phases import phase

    return [phase(text) for text in texts] if texts else None


def _think_time(text: str | None) -> str | tuple[str, str] | None:
    least, dash, most = (text or "").partition("-")
    return (least, most) if dash and least else text


def _scenarios(targets: list[str]) -> list[Scenario]:
    from loadkit.jobs.printing import printing_on_stderr
    from loadkit.plan.loader import load

    for target in targets:
        if target.isdecimal() and not Path(target).exists():
            # as others take -q and -d
            hint = "-q is --quiet and takes no value, a rate is --rate 10/s, a duration --duration 10s"
            raise UsageError(f"there is no file or folder {target!r}; {hint}")
    with printing_on_stderr():
        return [scenario for target in targets for scenario in load(target)]


def _changed(
    scenario: Scenario, changes: dict[str, Any], thresholds: list[str] | None, headers: list[str] | None
) -> Scenario:
    more: dict[str, Any] = {}
    counted = {"iterations", "iterations_per_thread"}
    if counted & changes.keys():
        # whoever asks for a number of requests on the command line does not want them cut off by the file's duration
        more |= {"duration": None, "iterations": None, "iterations_per_thread": None}
        if scenario.phases:
            more["phases"] = ()
    elif {"duration", "phases"} & changes.keys():
        more |= {"iterations": None, "iterations_per_thread": None}
    more = {name: value for name, value in more.items() if name not in changes}
    if headers:
        more["headers"] = scenario.headers | dict(map(_header, headers))
    changed = scenario.replace(**changes, **more)
    return changed.replace(thresholds=[*changed.thresholds, *thresholds]) if thresholds else changed


def _header(text: str) -> tuple[str, str]:
    name, value = read_header(text)
    if "${" in value:
        from loadkit.fetcher.options import from_environment

        value = from_environment(value)
    return name, value


def _check_outputs(output: Path | None, html: Path | None, files: Sequence[Path] = ()) -> None:
    """See that both can be written, and that a page takes the place of no result; `UsageError` if not."""
    check_file("--output", output)
    check_file("--html", html)
    if html and output and html.resolve() == output.resolve():
        raise UsageError(f"--output and --html both name {html}; give each a file of its own")
    if html and html.resolve() in [file.resolve() for file in files]:
        raise UsageError(f"--html would overwrite the result {html}; write it like --html report.html")


def _run_all(scenarios: list[Scenario], output: Path | None, html: Path | None, *, quiet: bool) -> int:
    from loadkit.jobs.interrupts import Interrupts
    from loadkit.jobs.partial import Partial
    from loadkit.jobs.printing import printing_on_stderr
    from loadkit.jobs.run import run as run_one
    from loadkit.judge.threshold_results import EXIT_CODES
    from loadkit.plan.scenario import check_addresses
    from loadkit.report.progress import watcher

    if not scenarios:
        raise NothingToRun("there is nothing to run")
    _check_outputs(output, html)
    for scenario in scenarios:
        check_addresses(scenario)
    results: list[Result] = []
    faults = [0]
    partial = Partial(output) if output else None
    with Interrupts() as asked:
        for scenario in scenarios:
            # stdout is the report's: what the user's code prints goes where that of worker processes goes
            with watcher(sys.stderr, quiet=quiet) as watch, printing_on_stderr():
                results.append(run_one(scenario, watch=None if quiet else watch, interrupts=asked, partial=partial))
            # after each, for the next may be ended by force
            faults.append(_store(output, results, partial) if output else 0)
            faults.append(0 if quiet else _print(results[-1]))
            faults.append(_paint(html, results) if html else 0)
            if asked():
                break
    if left := [scenario.name for scenario in scenarios[len(results) :]]:
        typer.echo(f"loadkit: interrupted before {', '.join(map(str, left))}", err=True)
    return max(faults) or _worst([EXIT_CODES[result.outcome] for result in results])


def _worst(codes: list[int]) -> int:
    """Interrupted before not applied before failed before passed."""
    return next((code for code in (2, 6, 1) if code in codes), 0)


def _store(output: Path, results: list[Result], partial: Partial | None = None) -> int:
    from loadkit.report.json import dump

    fault = _write(output, dump(results))
    if partial:
        partial.finished = tuple(results)
        if not fault:
            partial.remove()
    return fault


def _paint(html: Path, results: list[Result]) -> int:
    from loadkit.report.html import html_report

    return _write(html, html_report(results))


def _write(path: Path, text: str) -> int:
    """Write a file; 3 if the disk cannot take it, which costs nothing else."""
    from loadkit.report.json import write_text

    try:
        write_text(path, text)
    except OutputError as error:
        _complain(error)
        return error.exit_code
    return 0


def _print(result: Result) -> int:
    """Print a report; the exit code is that of `_say`."""

    from loadkit.report.layout import layout_of
    from loadkit.report.text import text_report

    if sys.stdout is None:
        return 0
    layout = layout_of(sys.stdout)
    text = text_report(result, width=layout.width, color=layout.color, ascii=layout.ascii)
    # a name may have letters that the terminal's encoding lacks
    return _say(text.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding))


def _say(text: str) -> int:
    """Print; 3 if the output cannot take it, which costs nothing else, and 0 where there is no output."""
    if sys.stdout is None:
        return 0
    try:
        typer.echo(text)
        sys.stdout.flush()
    except OSError as error:
        # so that Python does not complain again when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # whoever read our output has seen enough, as `| head` does
            return 0
        _complain(OutputError(f"cannot print the report: {reason_of(error)}"))
        return OutputError.exit_code
    return 0


add_fetch_to(app, Voice(store=_store, show=_print, say=_say, complain=_complain))
