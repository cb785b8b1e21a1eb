"""`loadkit run` on the command line."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from loadkit.cli.console import say
from loadkit.cli.live import shown_live
from loadkit.cli.machines import (
    On,
    TlsAuthority,
    TlsCertificate,
    TlsKey,
    Workers,
    WorkersTimeout,
    chosen_machines,
)
from loadkit.cli.options import (
    Authorities,
    ClientCertificate,
    Csv,
    Full,
    Headers,
    Hgrm,
    History,
    Hlog,
    Insecure,
    Junit,
    Markdown,
    Otlp,
    Page,
    Prometheus,
    Quiet,
    judgement_option,
    load_option,
    load_scenarios,
    output_option,
    read_header,
    request_option,
    whole_number,
)
from loadkit.cli.outputs import Outputs
from loadkit.cli.parser import argument, given_values
from loadkit.cli.parts import check_parts, read_part, say_start
from loadkit.cli.replaying import check_replay, replayed
from loadkit.cli.request import ContentType, Data, Follow, Form, Json, Method, PathAsIs, RequestOptions, User
from loadkit.cli.runs import Reporting, check_together, run_all, run_all_together
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.jobs.otlp import OtlpTarget
    from loadkit.plan.phases import Phase
    from loadkit.plan.scenario import Scenario


_FIELDS: Final = {"phase": "phases", "per_thread": "iterations_per_thread"}
"""Of parameters whose name is not that of the field of a scenario."""


def run(
    context: typer.Context,
    targets: Annotated[list[str] | None, argument("Scenario files, folders, file.py::name, or URLs.")] = None,
    scenario: Annotated[
        list[str] | None,
        load_option("--scenario", "-s", value="NAME", help="Only the scenario of this name; may be repeated."),
    ] = None,
    threads: Annotated[str | None, load_option("--threads", "-c", value="N", help="Virtual users.")] = None,
    duration: Annotated[
        str | None, load_option("--duration", "-z", value="TIME", help="How long to measure: 30s, 1m30s.")
    ] = None,
    iterations: Annotated[
        str | None, load_option("--iterations", "-n", value="N", help="Requests and journeys in all.")
    ] = None,
    per_thread: Annotated[
        str | None, load_option("--iterations-per-thread", help="Requests and journeys of each thread.")
    ] = None,
    rate: Annotated[
        str | None, load_option("--rate", "-r", value="RATE", help="Arrivals by the clock (open workload): 200/s.")
    ] = None,
    arrivals: Annotated[str | None, load_option(help="constant or poisson, with a rate.")] = None,
    max_threads: Annotated[
        str | None, load_option(help="How many threads a rate may grow to; -c is how many it has at first.")
    ] = None,
    phase: Annotated[
        list[str] | None,
        load_option("--phase", value="PHASE", help="ramp:30s:50, ramp:30s:200/s, hold:2m; -z scales them."),
    ] = None,
    warmup: Annotated[str | None, load_option(value="TIME", help="Send before measuring, not counted: 5s.")] = None,
    replay: Annotated[
        list[Path] | None,
        load_option(value="LOG", help="Send what an access log has, each request at its instant; may be repeated."),
    ] = None,
    speed: Annotated[str | None, load_option(help="Of a replay: 200% is twice as fast.")] = None,
    log_format: Annotated[
        str | None, load_option(help="Of the log, as nginx or Apache is told; combined and common are known.")
    ] = None,
    all_methods: Annotated[
        bool, load_option("--all-methods", help="Replay POST and others, too, without bodies.")
    ] = False,
    think_time: Annotated[
        str | None, load_option(help="Pause of each thread between requests: 500ms, or 1s-3s for any between.")
    ] = None,
    pacing: Annotated[str | None, load_option(help="From start to start of a thread's requests: 1s.")] = None,
    processes: Annotated[
        str | None,
        load_option(
            help="Worker processes sharing the load: a number, or auto: one a CPU, less one if the target is here."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        load_option(value="NAME", help="threads: one for each user; loop: a few loops for all without code; or auto."),
    ] = None,
    part: Annotated[
        str | None, load_option(value="K/N", help="The K-th of N parts, one a machine; merged by loadkit report.")
    ] = None,
    at: Annotated[
        str | None, load_option("--at", value="TIME", help="When all parts begin: 12:00:00Z, or with a date before it.")
    ] = None,
    seed: Annotated[
        str | None, load_option(help="For arrivals, think times and orders of rows; the same seed, the same run.")
    ] = None,
    timeout: Annotated[str | None, request_option(value="TIME", help="Deadline of one request: 10s.")] = None,
    graceful_stop: Annotated[str | None, load_option(help="What requests in flight get at the end: 5s.")] = None,
    threshold: Annotated[
        list[str] | None,
        judgement_option("--threshold", "-t", value="LIMIT", help="A limit such as 'p99 < 250ms'; adds to the file's."),
    ] = None,
    abort: Annotated[
        list[str] | None,
        judgement_option("--abort", help="A threshold that ends the run when missed: 'p99 < 1s over 10s'."),
    ] = None,
    method: Method = None,
    data: Data = None,
    json: Json = None,
    form: Form = None,
    user: User = None,
    content_type: ContentType = None,
    follow: Follow = False,
    path_as_is: PathAsIs = False,
    header: Headers = None,
    base_url: Annotated[
        str | None, request_option(value="URL", help="Aim at another server; none of its own starts.")
    ] = None,
    ca: Authorities = None,
    cert: ClientCertificate = None,
    insecure: Insecure = False,
    demo_server: Annotated[bool, request_option("--demo", help="Start the demo server and aim at it.")] = False,
    keep_going: Annotated[bool, judgement_option(help="Go on although the target cannot be reached.")] = False,
    fail_fast: Annotated[bool, judgement_option(help="Run no more scenarios after one that did not pass.")] = False,
    once: Annotated[bool, judgement_option("--once", help="Each endpoint and journey once: are they sound?")] = False,
    together: Annotated[bool, load_option("--together", help="All scenarios at the same time, in one report.")] = False,
    repeat: Annotated[
        str | None, judgement_option(help="How many rounds: the scenarios in turn, each time; for loadkit compare.")
    ] = None,
    output: Annotated[
        Path | None, output_option("--output", "-o", value="FILE", help="Store the result as JSON.")
    ] = None,
    html: Page = None,
    markdown: Markdown = None,
    csv: Csv = None,
    junit: Junit = None,
    hgrm: Hgrm = None,
    hlog: Hlog = None,
    prometheus: Prometheus = None,
    otlp: Otlp = None,
    history: History = None,
    full: Full = False,
    debug: Annotated[
        str | None, output_option(help="Show the first N exchanges whole, on stderr; secrets are masked.")
    ] = None,
    samples: Annotated[Path | None, output_option(help="Write a line a request: FILE.csv or FILE.jsonl.")] = None,
    live: Annotated[
        bool, output_option("--live", help="Show the run in a browser of this machine while it goes on.")
    ] = False,
    live_port: Annotated[str | None, output_option(help="Where; 8089, or a free one, if not said.")] = None,
    quiet: Quiet = False,
    on: On = None,
    workers: Workers = None,
    workers_timeout: WorkersTimeout = None,
    dask_tls_ca_file: TlsAuthority = None,
    dask_tls_cert: TlsCertificate = None,
    dask_tls_key: TlsKey = None,
) -> int:
    """Run scenarios and report what was found. Options may stand in [tool.loadkit] of pyproject.toml, too.

    Exit code: 0 passed, 1 a threshold or a request failed or the server that loadkit started ended, 2 interrupted,
    3 a fault of ours, 4 wrong usage, 5 nothing to run, 6 the load was not applied or the set-up failed.
    """
    from loadkit.cli.functional import are_tests, run_tests
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.once import once as each_once
    from loadkit.plan.scenario import Scenario

    check_replay(given_values(context))
    if not targets and not replay:
        raise UsageError("Missing argument 'targets'")
    targets = targets or []
    if targets and are_tests(targets):
        if on is not None:
            raise UsageError("tests run under load in this process; leave --on out")
        return run_tests(targets, given_values(context))
    changes = _given(
        threads=whole_number("--threads", threads),
        duration=duration,
        iterations=whole_number("--iterations", iterations),
        iterations_per_thread=whole_number("--iterations-per-thread", per_thread),
        rate=rate,
        arrivals=arrivals,
        max_threads=whole_number("--max-threads", max_threads),
        phases=_phases(phase),
        warmup=warmup,
        think_time=_think_time(think_time),
        pacing=pacing,
        processes=_processes(processes),
        engine=engine,
        seed=whole_number("--seed", seed),
        timeout=timeout,
        graceful_stop=graceful_stop,
        base_url=base_url,
        ca=ca,
        cert=cert,
        verify=False if insecure else None,
        keep_going=keep_going or None,
    )
    request = RequestOptions(
        method=method,
        data=data,
        json=json,
        form=form,
        user=user,
        content_type=content_type,
        follow=follow or None,
        path_as_is=path_as_is or None,
    )
    request.check_targets(targets)
    if number := next(filter(str.isdecimal, threshold or []), None):
        # as wrk has its threads
        raise UsageError(
            f"-t is a threshold like 'p99 < 250ms', and {number!r} is a number; virtual users are -c {number}"
        )
    threshold = [*(threshold or []), *(_aborting(text) for text in abort or [])]
    headers = dict(map(_header, header or []))
    most_of_replay = changes.pop("max_threads", None) if replay else None
    rounds = _at_least_one("--repeat", repeat) or 1
    if once:
        _check_once(given_values(context))
    if together:
        check_together(given_values(context))
    own_part = read_part(part, at, context.params)
    to = Reporting(
        outputs=Outputs.of(
            output=output,
            html=html,
            markdown=markdown,
            csv=csv,
            junit=junit,
            hgrm=hgrm,
            hlog=hlog,
            prometheus=prometheus,
        ),
        history=history,
        samples=samples,
        otlp=_collector(otlp),
        exchanges=_at_least_one("--debug", debug) or 0,
        full=full,
        quiet=quiet,
    )
    if on is not None and (once or together):
        raise UsageError(f"{'--once' if once else '--together'} sends from this process; leave --on out")
    with ExitStack() as stack:
        if demo_server:
            from loadkit.server.demo import running_demo

            changes["base_url"] = stack.enter_context(running_demo()).url
        # under load a file that cannot be read is an error before anything is sent
        broken: dict[str, str] = {}
        found = _chosen(load_scenarios(targets, broken=broken if once else None), scenario or [])
        if replay and not targets:
            found = [Scenario(endpoints=[Endpoint("GET", "/")], name=f"replay of {replay[0].name}")]
        scenarios = [_changed(scenario, changes, threshold, headers) for scenario in found]
        scenarios = [request.applied(scenario, headers) for scenario in scenarios]
        if once:
            scenarios = [each_once(scenario) for scenario in scenarios]
        if replay:
            scenarios = replayed(
                scenarios,
                replay,
                speed=speed,
                log_format=log_format,
                all_methods=all_methods,
                duration=duration,
                max_threads=most_of_replay,
                quiet=quiet,
            )
        _explain_threads(given_values(context), scenarios, quiet=quiet)
        check_parts(own_part, scenarios)
        say_start(own_part, quiet=quiet)
        tls = {"tls_ca_file": dask_tls_ca_file, "tls_client_cert": dask_tls_cert, "tls_client_key": dask_tls_key}
        machines = stack.enter_context(chosen_machines(on, workers, workers_timeout, tls, quiet=quiet))
        page = stack.enter_context(shown_live(live_port, is_wanted=live))
        if together:
            return run_all_together(scenarios, to, page)
        return run_all(
            scenarios * (1 if once else rounds),
            to,
            once=once,
            broken=broken,
            fail_fast=fail_fast,
            machines=machines,
            part=own_part,
            live=page,
        )


def _collector(url: str | None) -> OtlpTarget | None:
    if url is None:
        return None
    from loadkit.jobs.otlp import otlp_target

    return otlp_target(url)


def _aborting(text: str) -> str:
    from loadkit.plan.threshold import Threshold

    return Threshold(text, abort=True).text


def _chosen(scenarios: list[Scenario], names: list[str]) -> list[Scenario]:
    """Those of these names, or all; `UsageError` for a name that none has."""
    known = dict.fromkeys(str(one.name) for one in scenarios)
    for name in names:
        if name not in known:
            raise UsageError(f"there is no scenario {name!r}; there are {', '.join(map(repr, known)) or 'none'}")
    return [one for one in scenarios if not names or one.name in names]


def _check_once(given: dict[str, Any]) -> None:
    """Refuse what stands on the command line and plays no part; defaults of the project are left out."""
    from loadkit.plan.once import DECIDED

    for name in given:
        if _FIELDS.get(name, name) in (*DECIDED, "threshold", "abort", "repeat"):
            option = {"per_thread": "iterations-per-thread"}.get(name, name).replace("_", "-")
            raise UsageError(f"--once sends each endpoint once and judges failures alone; leave --{option} out")


def _explain_threads(given: dict[str, Any], scenarios: list[Scenario], *, quiet: bool) -> None:
    """Say what a number of threads on the command line is beside a rate; defaults of the project are left out."""
    threads = given.get("threads")
    if threads and not quiet and any(one.is_open and one.max_threads is None for one in scenarios):
        say(
            f"with a rate, -c {threads} is how many threads there are at first, and more are started when all are "
            f"busy; --max-threads {threads} is how many there may be"
        )


def _at_least_one(option: str, text: str | None) -> int | None:
    number = whole_number(option, text)
    if number is not None and number < 1:
        raise UsageError(f"{option} takes a whole number of at least 1, not {text!r}")
    return number


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


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


def _changed(
    scenario: Scenario, changes: dict[str, Any], thresholds: list[str] | None, headers: dict[str, str]
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
        more["headers"] = scenario.headers | headers
    changed = scenario.replace(**changes, **more)
    # the project may ask for what the file asks for
    both = list(dict.fromkeys([*changed.thresholds, *(thresholds or [])]))
    return changed.replace(thresholds=both) if thresholds else changed


def _header(text: str) -> tuple[str, str]:
    name, value = read_header(text)
    if "${" in value:
        from loadkit.host.environment import from_environment

        value = from_environment(value)
    return name, value
