"""The result of a comparison as a page of Markdown: machine, table, targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from benchmarks import machine, nginx
from benchmarks.cost.client import Client
from benchmarks.cost.measure import Pair, Results
from benchmarks.report import Target, table, targets_table

HEAD = [
    *("client", "requests/s (min-max)", "CPU us a request (min-max)", "x wrk"),
    *("us with its start", "counted by nginx", "own count"),
]
LIMITS = [
    ("loadkit", "wrk", 1.7),
    ("loadkit", "hey", 0.7),
    ("loadkit", "k6", 0.35),
    ("loadkit", "locust-http", 1 / 20),
    ("loadkit-https", "wrk-https", 1.7),
]


def page(
    clients: Sequence[Client],
    results: Results,
    notes: Sequence[str],
    limits: Sequence[tuple[str, str, float]],
) -> str:
    measured = [client for client in clients if client.name in results.pairs]
    parts = [
        machine.described() + ".",
        *notes,
        table(HEAD, [_row(client, results) for client in measured]),
        *[f"Left out: {name}, because {reason}." for name, reason in results.skipped.items()],
        targets_table([target(results, *limit) for limit in limits]),
        "Versions: " + _versions(measured) + ".",
    ]
    return "\n\n".join(parts)


def target(results: Results, client: str, peer: str, limit: float) -> Target:
    absent = [name for name in (client, peer) if name not in results.pairs]
    return Target(
        claim=f"{client}: at most {limit:g} x the CPU of {peer}",
        limit=limit,
        figure=results.ratio(client, peer),
        unit=" x",
        reason=f"no {' and no '.join(absent)}",
    )


def _row(client: Client, results: Results) -> list[str]:
    pairs = results.pairs[client.name]
    return [
        client.name,
        _spread([pair.rate for pair in pairs], "{:,.0f}".format),
        _spread([pair.cost * 1e6 for pair in pairs], "{:.1f}".format),
        _ratio(client, results),
        f"{median(pair.whole for pair in pairs) * 1e6:.1f}",
        f"{median(pair.long.requests for pair in pairs):,.0f}",
        f"{median(_claim(pair) for pair in pairs):+.2%}",
    ]


def _ratio(client: Client, results: Results) -> str:
    ratio = results.ratio(client.name, "wrk-https" if client.scheme == "https" else "wrk")
    return "-" if ratio is None else f"{ratio:.2f}"


def _claim(pair: Pair) -> float:
    """By how much the client's own count differs from nginx's."""
    return pair.long.claimed / pair.long.requests - 1


def _spread(values: Iterable[float], form: Callable[[float], str]) -> str:
    ordered = sorted(values)
    return f"{form(median(ordered))} ({form(ordered[0])}-{form(ordered[-1])})"


def _versions(clients: Sequence[Client]) -> str:
    # two entries of one tool (https, a second mode) share their version
    tools = {client.name.partition("-")[0]: client for client in clients}
    known = {"nginx": nginx.version()} | {name: client.version() for name, client in tools.items()}
    return ", ".join(f"{name} {version}" for name, version in known.items())
