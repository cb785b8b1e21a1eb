"""A collector of OpenTelemetry for tests, over HTTP: it reads what it is sent by the official protobuf."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)


class Points:
    """The points of messages, of each series the last one."""

    def __init__(self) -> None:
        self.units: dict[str, str] = {}
        self.series: dict[tuple[str, frozenset[tuple[str, str | int]]], Any] = {}
        self.times: set[tuple[int, int]] = set()
        self.temporalities: set[int] = set()
        self.resource: dict[str, str | int] = {}

    def add(self, message: Any) -> None:
        for resource in message.resource_metrics:
            self.resource = _values(resource.resource.attributes)
            for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                data = getattr(metric, metric.WhichOneof("data"))
                self.units[metric.name] = metric.unit
                self.temporalities.add(data.aggregation_temporality)
                for point in data.data_points:
                    self.times.add((point.start_time_unix_nano, point.time_unix_nano))
                    key = metric.name, frozenset(_values(point.attributes).items())
                    self.series[key] = point

    def histogram(self, name: str, attributes: Mapping[str, str | int]) -> Any:
        return self.series[name, frozenset(attributes.items())]

    def sum_of(self, name: str, attributes: Mapping[str, str | int]) -> int:
        return int(self.series[name, frozenset(attributes.items())].as_int)

    def total(self, name: str, attributes: Mapping[str, str | int]) -> int:
        """Of all series with these attributes, among others."""
        wanted = attributes.items()
        return sum(point.as_int for (of, found), point in self.series.items() if of == name and wanted <= found)

    @property
    def values(self) -> list[str | int]:
        """Of all attributes."""
        return [value for _, attributes in self.series for _, value in attributes]


def _values(attributes: Any) -> dict[str, str | int]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def points_of(messages: Sequence[bytes]) -> Points:
    found = Points()
    for message in messages:
        found.add(ExportMetricsServiceRequest.FromString(message))
    return found


class Collector:
    """What it was sent, and what it answers to the n-th message, from 1."""

    def __init__(self, answer: Callable[[int], tuple[int, bytes]]) -> None:
        self.answer = answer
        self.url = ""
        self.received: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.released = threading.Event()
        """Let those go on that a slow collector holds."""
        self.arrived = threading.Condition()

    @property
    def points(self) -> Points:
        return points_of(self.received)

    def wait(self, count: int) -> None:
        """Until so many messages have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, timeout=30)


def accepting(number: int) -> tuple[int, bytes]:
    return 200, ExportMetricsServiceResponse().SerializeToString()


def rejecting(number: int) -> tuple[int, bytes]:
    """It takes a message, and a part of it not."""
    reply = ExportMetricsServiceResponse()
    reply.partial_success.rejected_data_points = 2
    reply.partial_success.error_message = "too many series"
    return 200, reply.SerializeToString()


@contextmanager
def collecting(answer: Callable[[int], tuple[int, bytes]] = accepting, *, is_slow: bool = False) -> Iterator[Collector]:
    """A collector that listens on loopback; a slow one answers when the block ends."""
    collector = Collector(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            with collector.arrived:
                collector.received.append(content)
                collector.headers.append(dict(self.headers.items()))
                collector.paths.append(self.path)
                number = len(collector.received)
                collector.arrived.notify_all()
            if is_slow:
                collector.released.wait(30)
                self.close_connection = True
                return
            status, content = collector.answer(number)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            collector.released.set()
            server.shutdown()
            thread.join()
