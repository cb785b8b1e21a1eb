"""What a journey is given as `http`: a session that can pause and group; for an `async def` the last two alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, cast

from requests.exceptions import MissingSchema

from loadkit.measure.timer import step
from loadkit.plan.endpoint import GOOD
from loadkit.plan.fields import Expect, parse_statuses
from loadkit.plan.placeholders import plain_headers
from loadkit.plan.units import Duration, nanoseconds, seconds
from loadkit.wire.connection import ACTIVE
from loadkit.wire.session.session import Session

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock
    from loadkit.wire.resolver import Resolver
    from loadkit.wire.session.call import Inspector
    from loadkit.wire.session.pool import ConnectionPool


class JourneySession(Session):
    """The session of a journey: a `Session` that can pause and group."""

    # a load is one of the server, whatever else a test has others answer
    _heeds_replacements = False

    def __init__(self, scenario: Scenario, clock: Clock, resolver: Resolver, rest: Callable[[int], None]) -> None:
        timeout = scenario.timeout
        super().__init__(base_url=scenario.base_url, deadline=timeout, resolver=resolver, clock=clock)
        self._rest = rest
        self.timeout = cast(float, timeout)
        """Seconds that a call may take which says no deadline."""
        self.good = GOOD
        """Statuses that count as good now."""
        self._lent: ConnectionPool | None = None
        """Of another session that sends in this one's journey now."""
        configure(self, scenario)

    def _joined(self, url: Any) -> Any:
        if self.base_url is None and isinstance(url, str) and url.startswith("/"):
            raise MissingSchema(f"{url!r} is relative; give the scenario a base_url like 'http://127.0.0.1:8000'")
        return super()._joined(url)

    def inspect(self, inspector: Inspector) -> None:
        """Show each exchange to this one."""
        self._inspect(inspector)

    def abort(self) -> None:
        """End the request under way in another thread, also of a session that sends in this one's journey."""
        super().abort()
        if lent := self._lent:
            lent.abort()

    @contextmanager
    def lending(self, pool: ConnectionPool) -> Iterator[None]:
        """The journey sends by another session meanwhile, which is cut as this one is."""
        if pool.is_aborted and not self._wire.pool.is_aborted:
            pool.revive()
        self._lent = pool
        try:
            if self._wire.pool.is_aborted:
                pool.abort()
            yield
        finally:
            self._lent = None

    def revive(self) -> None:
        """Let what tears down send requests although the journeys were stopped or cut."""
        if self._wire.pool.is_aborted:
            self.close()
            self._wire.pool.revive()
        self.halt(None)

    @property
    def unstamped(self) -> int:
        """Replies so far whose arrival the kernel did not stamp."""
        return self._wire.unstamped

    def count_unstamped(self, replies: int) -> None:
        """Other clients got so many in the journey, of which the kernel stamped none."""
        self._context.unstamped += replies

    @property
    def exchange(self) -> tuple[int, int] | None:
        """What is under way, as what differs from one exchange to the next; None if nothing is."""
        found = [one for one in self._wire.pool.connections() if one.state is ACTIVE]
        return (id(found[0]), found[0].fresh_until) if found else None

    def pause(self, span: Duration) -> None:
        """Think for `span` (seconds, or text such as "500ms"); the end of the run interrupts it."""
        self._rest(nanoseconds(seconds(span, what="pause")))

    def step(self, name: str) -> AbstractContextManager[object]:
        """Group what is within: `with http.step("checkout"):` has a row of its own."""
        return step(name)

    @contextmanager
    def expecting(self, expect: Expect) -> Iterator[None]:
        """Count other statuses as good: `with http.expecting(404):`; 200 to 399 are without it."""
        before, self.good = self.good, parse_statuses(expect)
        try:
            yield
        finally:
            self.good = before


class AsyncSession:
    """What an `async def` journey is given as `http`: no client, for the user brings one, but the rest.

    >>> async def buy(http):
    ...     async with aiohttp.ClientSession(http.base_url) as client:
    ...         with timer("GET /items"):
    ...             async with client.get("/items") as reply:
    ...                 assert reply.status == 200
    ...         await http.pause("100ms")
    """

    def __init__(self, scenario: Scenario, rest: Callable[[int], Awaitable[None]]) -> None:
        self._rest = rest
        self.base_url = scenario.base_url or ""
        self.headers = plain_headers(scenario.headers)
        """Those of the scenario."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(Session, name):
            raise AttributeError(
                f"http.{name} would hold up the other tasks of its thread; an async journey brings a client of its own "
                f"(aiohttp, httpx), timed by timer(…), or is written without async"
            )
        raise AttributeError(f"the http of an async journey has no {name!r}; it has base_url, headers, pause and step")

    async def pause(self, span: Duration) -> None:
        """Think for `span`; the end of the run interrupts it."""
        await self._rest(nanoseconds(seconds(span, what="pause")))

    def step(self, name: str) -> AbstractContextManager[object]:
        """Group what is within: `with http.step("checkout"):` has a row of its own."""
        return step(name)


def configure(session: Session, scenario: Scenario) -> None:
    """Set up a session with what a scenario has for all requests, and with nothing from the environment."""
    session.trust_env = False
    session.headers.update(plain_headers(scenario.headers))
    session.verify = str(scenario.ca) if scenario.ca is not None and scenario.verify else scenario.verify
    cert = scenario.cert
    if cert is not None:
        session.cert = (str(cert[0]), str(cert[1])) if isinstance(cert, tuple) else str(cert)
