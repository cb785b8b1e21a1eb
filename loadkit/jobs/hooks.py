"""The set-up and the tear-down of a scenario, around its run."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    from loadkit.drive.journeys.runner import failure_of, settle
    from loadkit.plan.journey import begun, call, ended
    from loadkit.wire.session.session import Session

    deadline = cast(float, scenario.timeout)
    with Session(base_url=scenario.base_url, deadline=deadline, resolver=resolver) as http, ExitStack() as ends:
        settle(http, scenario)
        shared: object = None
        try:
            if scenario.setup:
                shared = made = call(scenario.setup, {}, http=http)
                if inspect.isgeneratorfunction(scenario.setup):
                    shared = begun(cast("Iterator[object]", made))
                    ends.callback(ended, made)
        except (Exception, SystemExit) as error:
            raise SetupError(f"the setup of the scenario failed: {failure_of(error).message}", error) from error
        if scenario.teardown:
            ends.callback(call, scenario.teardown, {"shared": shared}, http=http)
        try:
            yield shared
        finally:
            try:
                ends.close()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's
                faults.append(f"the teardown of the scenario failed: {failure_of(error).message}")
