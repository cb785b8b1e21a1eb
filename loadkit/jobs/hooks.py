"""The set-up and the tear-down of a scenario, around its run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from loadkit.plan.errors import SetupError
from loadkit.plan.scenario import Scenario

if TYPE_CHECKING:
    from loadkit.wire.resolver import Resolver


@contextmanager
def shared_by(scenario: Scenario, resolver: Resolver, faults: list[str]) -> Iterator[object]:
    """What the scenario's `setup` returns; `teardown` is called at the end. Their requests are in no figure.

    Raises `SetupError` when the set-up fails; why a tear-down failed is added to `faults`, for the figures stand.
    """
    if scenario.setup is None and scenario.teardown is None:
        yield None
        return
    from loadkit.drive.failures import failure_of_journey
    from loadkit.drive.journeys.fixtures import Fixtures
    from loadkit.drive.journeys.session import configure
    from loadkit.wire.session.session import Session

    deadline = cast(float, scenario.timeout)
    with Session(base_url=scenario.base_url, deadline=deadline, resolver=resolver) as http:
        configure(http, scenario)
        fixtures = Fixtures(http)
        try:
            shared = fixtures.set_up(scenario.setup, {}) if scenario.setup else None
        except (Exception, SystemExit) as error:
            reason = failure_of_journey(error).message
            raise SetupError(f"the setup of the scenario failed: {reason}", error) from error
        if scenario.teardown:
            fixtures.add_teardown(scenario.teardown, {"shared": shared})
        try:
            yield shared
        finally:
            try:
                fixtures.close()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's
                faults.append(f"the teardown of the scenario failed: {failure_of_journey(error).message}")
