"""Options of `loadkit run` for other machines that share the load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from loadkit.cli.console import say_waiting
from loadkit.cli.options import whole_number
from loadkit.cli.parser import option
from loadkit.plan.errors import UsageError

machine_option = partial(option, group="Machines")

On = Annotated[
    str | None,
    machine_option("--on", help="Workers of a Dask scheduler share the load: tcp://host:8786, or local:4 to try it."),
]
Workers = Annotated[str | None, machine_option(value="N", help="How many workers; by default all that are there.")]
WorkersTimeout = Annotated[
    str | None, machine_option(value="TIME", help="How long to wait until there are so many: 30s.")
]
TlsAuthority = Annotated[Path | None, machine_option(value="FILE", help="Who has signed the cluster's certificates.")]
TlsCertificate = Annotated[Path | None, machine_option(value="FILE", help="Our certificate for the cluster.")]
TlsKey = Annotated[Path | None, machine_option(value="FILE", help="The key of our certificate for the cluster.")]


@contextmanager
def chosen_machines(
    on: str | None, workers: str | None, timeout: str | None, tls: Mapping[str, Path | None], *, quiet: bool
) -> Iterator[dict[str, Any]]:
    """What `run` is to be told of other machines, while they can be reached: nothing without `on`.

    `tls` has the files of certificates by the names that Dask has for them.
    """
    if on is None:
        if workers or timeout or any(tls.values()):
            raise UsageError("--workers, --workers-timeout and --dask-tls-… go with --on, which is missing")
        yield {}
        return
    from loadkit.drive.cluster.cluster import WITHIN, connected
    from loadkit.plan.units import seconds

    count = whole_number("--workers", workers)
    if count is not None and count < 1:
        raise UsageError(f"--workers takes a whole number of at least 1, not {workers!r}")
    within = seconds(timeout, what="--workers-timeout") if timeout else WITHIN
    say_waiting(f"waiting for {on}", quiet=quiet)
    with connected(on, {name: str(file) for name, file in tls.items() if file}) as client:
        yield {"on": client, "workers": count, "workers_timeout": within}
