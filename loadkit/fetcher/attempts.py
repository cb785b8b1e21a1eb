"""Attempts at the tasks of one worker: the request that is sent, the body that takes the reply, and the outcome."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.body import Body, BodySettings
from loadkit.fetcher.store import tag_of
from loadkit.fetcher.task import Task, encode_request, header_lines
from loadkit.plan.units import nanoseconds
from loadkit.wire.base import BrokenExchange, Note, Request

if TYPE_CHECKING:
    from loadkit.fetcher.connections import Connections
    from loadkit.fetcher.context import FetchContext
    from loadkit.fetcher.counters import WorkerRecorder
    from loadkit.fetcher.outcomes import Outcomes
    from loadkit.fetcher.store import Store
    from loadkit.wire.base import Exchange

MAX_TEMPLATES: Final = 64


class Attempts:
    """Makes the attempts of one worker, each with its outcome."""

    def __init__(
        self,
        context: FetchContext,
        connections: Connections,
        store: Store,
        recorder: WorkerRecorder,
        outcomes: Outcomes,
    ) -> None:
        options = context.options
        self.timeout = nanoseconds(options.timeout)
        self._clock = context.clock
        self._schedule = context.schedule
        self._policy = context.policy
        self._connections = connections
        self._has_template = options.name is not None
        self._recorder = recorder
        self._outcomes = outcomes
        self._headers = options.common_headers()
        self._header_lines = header_lines(self._headers)
        self._settings = BodySettings(
            store.output, context.clock, options.max_size, options.raw, self.timeout, context.is_cutting
        )
        self._templates: dict[tuple[str, str], Request] = {}

    def make(self, task: Task, due: int) -> None:
        """Make one attempt."""
        body = self.begin(task, due)
        if body is not None:
            self._outcomes.apply(task, body, self._send(task, body))

    def begin(self, task: Task, due: int) -> Body | None:
        """Begin an attempt, or go on with it after a redirect; the body takes the reply.

        None if its host has been given up, and then the task has failed.
        """
        failure = self._schedule.host_failure(task)
        if failure:
            task.due = task.due or due
            self._outcomes.refuse(task, failure)
            return None
        if not task.redirects:
            task.due = due
            task.attempts += 1
            task.started = task.started or time.time()
        tag = tag_of(task) if self._has_template else ""
        return Body(partial(self._policy.decide, task), self._settings, tag)

    def payload(self, task: Task) -> bytes:
        """The bytes to be sent."""
        payload = encode_request(task, self._headers, self._header_lines)
        self._recorder.request_size = len(payload)
        return payload

    def template(self, task: Task) -> Request:
        """A request like the task's but for its bytes; making one takes 1.5 us."""
        url, method = task.url, "GET" if task.became_get else task.request.method
        known = self._templates.get((url.site, method))
        if known is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            known = self._templates[url.site, method] = Request(
                origin=url.origin,
                method=method,
                url=url.site,
                payload=b"",
                timeout=self.timeout,
                keep=None,
            )
        return known

    def _send(self, task: Task, body: Body) -> Exchange:
        try:
            return self._connections.to(task.url).send(self.template(task), self.payload(task), body)
        except BrokenExchange as broken:  # the name does not resolve
            now = self._clock.now()
            return 0, 0, now, now, 0, Note(broken.failure)
