"""The fields of plans as keywords, so that a type checker refuses a misspelt one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from loadkit.plan.data import Rows
    from loadkit.plan.fields import Expect
    from loadkit.plan.units import Duration


class EndpointFields(TypedDict, total=False):
    """What `Endpoint.replace` takes."""

    method: str
    path: str
    params: Mapping[str, Any] | None
    headers: Mapping[str, str]
    json: Any
    data: Any
    files: Any
    auth: Any
    expect: Expect | None
    check: Callable[[Any], object] | None
    weight: float
    threads: int | None
    timeout: Duration | None
    feed: Rows | None
    name: str | None
    follow: bool
    path_as_is: bool


class JourneyFields(TypedDict, total=False):
    """What `Journey.replace` takes."""

    run: Callable[..., Any]
    weight: float
    threads: int | None
    tasks_per_thread: int
    feed: Rows | None
    setup: Callable[..., Any] | None
    teardown: Callable[..., Any] | None
    fixture: Callable[..., Any] | None
    times_fixture: bool
    name: str | None
