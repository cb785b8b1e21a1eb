"""Two versions side by side: short rounds of both in balanced order, until it can be told if the new one is worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from loadkit.clock import SystemClock
from loadkit.host.power import power
from loadkit.jobs.against_stored import StoredRounds, are_stored, compare_with_stored
from loadkit.jobs.calibrate import kept_calibration
from loadkit.jobs.checkouts import Checkout, Checkouts
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.revisions import changed_files, editable_below
from loadkit.jobs.rounds import Around, NotMeasurable, Rounds, Side, in_rounds, named_server
from loadkit.jobs.tolerances import (
    DEMO,
    TOLERANCE,
    control_of,
    default_tolerances,
    named_tolerances,
    visible_tolerances,
)
from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.comparison.calibration import Calibration
from loadkit.judge.comparison.caveats import of_comparison, of_rounds
from loadkit.judge.comparison.changes import shown_change
from loadkit.judge.comparison.comparison import Comparison, comparison
from loadkit.judge.comparison.procedure import Moment, Rules, conclude
from loadkit.judge.validity import ranked
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.loader import load
from loadkit.plan.redact import redact_message
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import SECOND, Duration
from loadkit.plan.urls import check_url, strip_url
from loadkit.server.demo.process import running_demo
from loadkit.server.serving import Served, served_at
from loadkit.server.serving.relocation import Relocation

BUDGET: Final = 300.0


def compare(
    new: Scenario | StoredRounds,
    *,
    against: Scenario | StoredRounds,
    tolerances: Mapping[str, float] | None = None,
    control: str | None = None,
    simultaneous: bool = False,
    budget: Duration = BUDGET,
    seed: int = 0,
    strict_machine: bool = False,
    watch: Callable[[Moment], None] | None = None,
    interrupts: Callable[[], int] | None = None,
    checkouts: Checkouts | None = None,
) -> Comparison:
    """Measure two versions in turns and say whether the new one is worse.

    >>> result = compare(browse, against="main")
    >>> assert not result.worse

    Args:
        new: the new version: a scenario; beside stored rounds also rounds of it.
        against: what was before: another scenario, the URL of another server, or a revision of the git repository in
            the current folder: then the scenario's own `server=`, or the server that `serving` runs at its base URL, is
            started from both, and `prepare=` sets up the environment of the revision. Or rounds that are stored:
            results, or a file of them (`"before.json"`), against which a scenario is run as often now.
        tolerances: how much worse a figure may become, by its name: `{"p99": 0.1}` is 10 %, `{"GET /search: p50": 0.1}`
            is of one endpoint, `{"all": 0.1}` of each that decides but the error rate. Those that are named decide
            beside the median, the error rate, the throughput of a closed workload, and the CPU a request of a server
            that loadkit starts.
        control: what nothing but the machine can change: the label of an endpoint, or `demo` for the demo server, which
            is then loaded after each round. It decides nothing; where it moves, the comparison cannot tell.
        simultaneous: load both versions at once instead of in turns. They share the machine, and loadkit.
        budget: how long measuring may take; 5 minutes if not said.
        seed: of the order in which the versions have their turns.
        strict_machine: rounds of another machine or load, or too few, which decide nothing, are exit code 6.
        watch: called after each block with how far it has come.
        interrupts: tells how often the user asked to stop; by default SIGINT and SIGTERM are counted.
        checkouts: keep the checked-out revision for later comparisons; by default it is removed at the end.

    Raises `UsageError` before anything is sent as `run` does, `LoadkitError` where a version cannot be measured, and
    `Interrupted` where the user asks to stop before anything is measured.
    """
    if not isinstance(new, Scenario) and not are_stored(new):
        raise UsageError(f"compare takes a scenario, or rounds like [run(browse) for _ in range(5)], not {new!r}")
    if not isinstance(against, Scenario) and are_stored(against):
        if control or simultaneous:
            raise UsageError(
                "control and simultaneous belong to versions that are measured in turns, not to stored rounds"
            )
        return compare_with_stored(
            new,
            against,
            tolerances=tolerances,
            strict_machine=strict_machine,
            budget=budget,
            watch=watch or (lambda _: None),
            interrupts=interrupts,
        )
    if not isinstance(new, Scenario):
        raise UsageError("rounds that are stored are compared with such, like before.json")
    if not isinstance(against, Scenario | str):
        raise UsageError(f"against takes a scenario, a URL, a revision or stored rounds, not {against!r}")
    return compare_in_turns(
        new,
        against,
        tolerances=tolerances,
        control=control,
        simultaneous=simultaneous,
        budget=budget,
        seed=seed,
        watch=watch,
        interrupts=interrupts,
        checkouts=checkouts,
    )


def compare_in_turns(
    new: Scenario,
    against: Scenario | str,
    *,
    tolerances: Mapping[str, float] | None = None,
    control: str | None = None,
    simultaneous: bool = False,
    budget: Duration = BUDGET,
    seed: int = 0,
    watch: Callable[[Moment], None] | None = None,
    interrupts: Callable[[], int] | None = None,
    checkouts: Checkouts | None = None,
    around: Around | None = None,
) -> Comparison:
    """What `compare` does with a version that was not measured before.

    `around` is entered while a server of one of the versions runs.
    """
    clock = SystemClock()
    began = clock.now()
    limit = parse_positive_seconds(budget, what="budget")
    if isinstance(against, str) and "://" not in against and (running := _running_server(new)):
        new = new.replace(server=(running.app,) if isinstance(running.app, str) else running.app)
    has_server = _starts_both(new, against)
    defaults = default_tolerances(is_open=new.is_open, has_server=has_server)
    labels = None if new.journeys else new.labels
    named = named_tolerances(tolerances or {}, defaults, labels=labels, has_server=has_server)
    calibration = kept_calibration(new)
    untouched = control_of(control, named, labels=labels) if control else None
    has_demo = control == DEMO and DEMO not in new.labels
    if simultaneous and has_demo:
        raise UsageError("the control demo is loaded after the round of one version, and these are simultaneous")
    deciding = {**defaults, **named}
    if calibration:
        deciding = visible_tolerances(calibration, defaults, named, limit, untouched)
    rules = Rules(tolerances=deciding, budget=limit, seed=seed, control=untouched)
    counting = counted_signals() if interrupts is None else nullcontext(interrupts)
    with (
        counting as asked,
        nullcontext(checkouts) if checkouts else Checkouts() as kept,
        _demo() if has_demo else nullcontext() as demo,
    ):
        sides = _versions(new, against, asked, kept)
        old, side = (replace(one, around=around) for one in sides) if around else sides
        measured_from, powered = clock.now(), power()
        rounds = Rounds(old, side, asked, control=demo, is_simultaneous=simultaneous)
        conclusion = conclude(
            rules,
            rounds.block,
            elapsed=lambda: (clock.now() - measured_from) / SECOND,
            stops=lambda: bool(asked()),
            watch=watch or (lambda _: None),
        )
        shown = [one for one in rounds.metrics if one not in (*rules.tolerances, rules.control)]
        sound = [one for one in conclusion.blocks if one.unsound is None]
        return comparison(
            conclusion,
            [shown_change(sound, metric, TOLERANCE) for metric in shown],
            new=side.name,
            old=old.name,
            seconds=(clock.now() - began) / SECOND,
            # what is not a scenario of its own cannot be calibrated
            notes=[*old.notes, *([] if around else [_calibration_note(new, calibration, defaults, deciding)])],
            environment=rounds.last.environment if rounds.last else None,
            caveats=ranked([*of_rounds(rounds.caveats), *of_comparison(powered, power(), rounds.last)]),
        )


def names_scenario(against: str) -> bool:
    """True for a scenario as text, such as `other.py::browse`; else it is a file of results, a URL or a revision."""
    # main:shop.py is what git calls a file of a revision
    return not are_stored(against) and ("::" in against or (against.endswith(".py") and ":" not in against))


@contextmanager
def _demo() -> Iterator[Scenario]:
    """A demo server under the load of one thread."""
    with running_demo() as demo:
        yield Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/")], threads=1)


def _versions(
    new: Scenario, against: Scenario | str, stops: Callable[[], int], checkouts: Checkouts
) -> tuple[Side, Side]:
    """Both versions, the old one first."""
    sent = in_rounds(new)
    if isinstance(against, Scenario):
        names = (_name(against), _name(new))
        if names[0] == names[1]:
            names = (f"{names[0]} (old)", f"{names[1]} (new)")
        old = Side(version="old", name=names[0], scenario=in_rounds(against), server=named_server(against))
        return old, Side(version="new", name=names[1], scenario=sent, server=named_server(new))
    if not against.strip():
        raise UsageError("against is empty; give the URL of a server, a scenario, or a revision like main")
    if "://" in against:
        url = check_url(against, what="against")
        old = Side(version="old", name=strip_url(url), scenario=_aimed_at(url, sent))
        name = _target(new) if old.scenario.endpoints == sent.endpoints else _name(new)
        return old, Side(version="new", name=name, scenario=sent, server=named_server(new))
    server = _running_server(new) or named_server(new)
    if not server:
        is_replaced = new.source is not None and new.source.scenario.server
        raise UsageError(
            f"{against} is a revision, and {_name(new)} has no server= to start from it"
            f"{'; a base_url that is given wins over its server=' if is_replaced else ''}; "
            "give it one, or compare against the URL of a server that runs"
        )
    found = checkouts.checkout(against, server.cwd, new.prepare)
    try:
        moved = Relocation(found.top, found.folder).served(server)
        if new.prepare:
            moved = checkouts.prepared(new.prepare, moved, found.folder, stops)
    except UsageError as error:
        raise NotMeasurable(f"the old version, {found.name}: {error}") from None
    notes = [*_notes(found.top, is_apart=moved.python != server.python), *_differing(new, found)]
    old = Side(version="old", name=found.name, scenario=sent, server=moved, notes=notes)
    return old, Side(version="new", name="the working tree", scenario=sent, server=server)


def _aimed_at(url: str, scenario: Scenario) -> Scenario:
    """The scenario aimed at another server; that of a URL asks for the other URL as it is, where that has a path."""
    source, parts = scenario.source, urlsplit(url)
    is_url = source is not None and "://" in source.target and scenario.endpoints == source.scenario.endpoints
    if not is_url or (parts.path in ("", "/") and not parts.query):
        return scenario.replace(base_url=url)
    (other,) = load(url)
    return scenario.replace(base_url=other.base_url, endpoints=other.endpoints)


def _running_server(scenario: Scenario) -> Served | None:
    """The server that `serving` runs at the base URL of a scenario; None where it is another's.

    Raises `UsageError` where an endpoint has the whole URL of such a server, to which both versions would lead.
    """
    for one in scenario.plans:
        if isinstance(one, Endpoint) and "://" in one.path and served_at(one.path):
            raise UsageError(f"{one.label} is a whole URL, which is the same for both versions; write its path alone")
    return served_at(scenario.base_url) if scenario.base_url else None


def _name(scenario: Scenario) -> str:
    return scenario.name or "the scenario"


def _target(scenario: Scenario) -> str:
    return strip_url(scenario.base_url) if scenario.base_url and not scenario.server else _name(scenario)


def _notes(top: Path, *, is_apart: bool) -> Iterator[str]:
    """What is to be known of how a revision of the project in that folder is measured beside the working tree.

    `is_apart` if it has an environment of its own.
    """
    if changed := changed_files(top):
        files = "1 file that is" if len(changed) == 1 else f"{len(changed)} files that are"
        yield f"the working tree has {files} not committed, and is measured as it is"
    if not is_apart:
        yield from map(_editable, editable_below(top))


def _differing(scenario: Scenario, found: Checkout) -> Iterator[str]:
    """That the scenario's file is another one in the revision, if so."""
    if scenario.source is None or "://" in scenario.source.target:
        return
    file = Path(scenario.source.target.partition("::")[0])
    if file.is_relative_to(found.top):
        other = found.folder / file.relative_to(found.top)
        if not other.is_file() or other.read_bytes() != file.read_bytes():
            yield f"{file.name} differs from that of {found.name}: the scenario of the working tree is used for both"


def _starts_both(new: Scenario, against: Scenario | str) -> bool:
    """True if loadkit starts the servers of both versions."""
    if isinstance(against, Scenario):
        return bool(new.server and against.server)
    return bool(new.server) and "://" not in against


def _calibration_note(
    scenario: Scenario,
    calibration: Calibration | None,
    defaults: Mapping[Metric, float],
    tolerances: Mapping[Metric, float],
) -> str:
    """Whether it is known how small a change can be seen, and what more is tolerated for it."""
    if calibration:
        wide = [one.name for one, tolerance in defaults.items() if tolerances[one] > tolerance]
        more = f"; of {', '.join(wide)} more is tolerated than by default, for less cannot be seen in this time"
        return f"calibrated here on {calibration.made_at[:10]}{more if wide else ''}"
    how = "loadkit.calibrate(scenario)"
    if source := scenario.source:
        aimed = f" --base-url {scenario.base_url}" if scenario.base_url != source.scenario.base_url else ""
        how = redact_message(f"loadkit compare {source.target}{aimed} --calibrate", is_own=True)
    return f"never calibrated here, so it is not known how small a change can be seen: {how}"


def _editable(name: str) -> str:
    return (
        f"{name} is installed from the working tree (editable): where the server imports it by that, "
        "both versions run the new code; prepare='pip install -e .' gives the revision an environment of its own"
    )
