"""The options of a fetch, checked before anything is opened or sent."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

from loadkit._version import __version__
from loadkit.fetcher.filenames import Filenames
from loadkit.host.environment import from_environment
from loadkit.plan.endpoint import Endpoint, parse_method
from loadkit.plan.errors import UsageError, unknown
from loadkit.plan.fields import check_headers, check_whole_number, parse_positive_seconds
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import Duration, Rate, Size, per_second, size
from loadkit.wire.encode import merge_headers

AUTO: Final = "auto"
FORMATS: Final = ("lines", "csv", "jsonl")
MOST_THREADS: Final = 1000

_FLAGS: Final = ("flat", "resume", "verify", "strict", "duplicates", "keep_failed", "raw", "insecure")
_OF_CONNECTION: Final = ("content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer")


class FetchKeywords(TypedDict, total=False):
    """The keywords of `fetch`; None stands for the default."""

    threads: int | str | None
    into: str | Path | None
    append: str | Path | None
    name: str | None
    flat: bool | None
    resume: bool | None
    verify: bool | None
    strict: bool | None
    duplicates: bool | None
    column: str | None
    format: str | None
    method: str | None
    headers: Mapping[str, str] | None
    user_agent: str | None
    timeout: Duration | None
    retries: int | None
    max_wait: Duration | None
    back_off: Duration | None
    host_pause: Duration | None
    rate: Rate | None
    per_host: int | None
    max_size: Size | None
    redirects: int | None
    keep_failed: bool | None
    raw: bool | None
    ca: str | Path | None
    cert: str | Path | tuple[str | Path, str | Path] | None
    insecure: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """Everything that is asked of a fetch but its URLs, checked; see `fetch` and `read_options`."""

    threads: int | Literal["auto"] = 20
    into: Path = Path("bodies")
    append: Path | None = None
    name: str | None = None
    flat: bool = False
    resume: bool = False
    verify: bool = False
    strict: bool = False
    duplicates: bool = False
    column: str = "url"
    format: str | None = None
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_agent: str | None = None
    timeout: float = 30.0
    """Seconds, as in all fields that are a time."""
    retries: int = 4
    max_wait: float = 300.0
    back_off: float = 0.5
    host_pause: float = 1.0
    rate: float | None = None
    """Requests a second, at most."""
    per_host: int | None = None
    max_size: int = 16_000_000_000
    """Bytes of a body, decoded."""
    redirects: int = 10
    keep_failed: bool = True
    raw: bool = False
    ca: str | Path | None = None
    cert: str | Path | tuple[str | Path, str | Path] | None = field(default=None, repr=False)
    insecure: bool = False

    @property
    def filenames(self) -> Filenames:
        """How files are named."""
        return Filenames(self.name, flat=self.flat)

    def common_headers(self) -> dict[str, str]:
        """What is sent with each request unless its row says otherwise, names as they were given."""
        agent = self.user_agent or f"loadkit/{__version__}"
        coding = "identity" if self.raw else "gzip, deflate"
        ours = check_headers({"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": coding})
        return merge_headers(ours, self.headers)

    def scenario(self) -> Scenario:
        """The scenario that a wire reads its settings from."""
        return Scenario(
            endpoints=[Endpoint("GET", "http://localhost/")],
            timeout=self.timeout,
            verify=not self.insecure,
            ca=self.ca,
            cert=self.cert,
        )


def read_options(keywords: Mapping[str, Any]) -> FetchOptions:
    """Check the keywords of `fetch`; raises `UsageError` for an unknown one and for a value that cannot work."""
    known = FetchOptions.__dataclass_fields__
    for name in keywords:
        if name not in known:
            raise UsageError(unknown("fetch", name, list(known)))
    given = {name: value for name, value in keywords.items() if value is not None}
    for name, read in _READERS.items():
        if name in given:
            given[name] = read(given[name])
    if "append" in given and "into" not in given:
        given["into"] = given["append"].with_name(f"{given['append'].name}.fetch")
    options = FetchOptions(**given)
    _check_combination(options)
    return options


def _check_combination(options: FetchOptions) -> None:
    if options.append is not None and (options.name is not None or options.flat):
        raise UsageError("append writes one file; name and flat are for folders of files")
    if options.verify and not options.resume:
        raise UsageError("verify says how closely resume looks at what is there; give both")
    options.filenames  # noqa: B018 - raises for a template that cannot be used


def check_sendable(given: object) -> dict[str, str]:
    """Accept headers; raises `UsageError` naming one that cannot be sent, or that belongs to the connection."""
    headers = check_headers(given)
    for name, value in headers.items():
        if name.lower() in _OF_CONNECTION:
            raise UsageError(f"the header {name!r} is not yours to set: it belongs to the connection")
        if re.search(r"[^\x00-\xff]", value):
            raise UsageError(f"the header {name!r} has a character that is not latin-1")
    return headers


def read_method(name: object) -> str:
    """An HTTP method in capitals, whatever blanks are around it; raises `UsageError` for anything else."""
    return parse_method(name.strip() if isinstance(name, str) else name)


def _path(value: object, what: str) -> Path:
    if not isinstance(value, str | os.PathLike) or str(value) in ("", "-") or "\0" in str(value):
        shown = str(value) if isinstance(value, os.PathLike) else value
        raise UsageError(f"{what} takes the path of a {'folder' if what == 'into' else 'file'}, not {shown!r}")
    return Path(value)


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{what} takes True or False, not {value!r}")
    return value


def _threads(value: object) -> int | str:
    if value == AUTO:
        return AUTO
    try:
        number = int(value) if isinstance(value, str) else value
        check_whole_number(number, what="threads")
    except (ValueError, UsageError):
        raise UsageError(f"threads takes a whole number like 20, or 'auto', not {value!r}") from None
    assert isinstance(number, int)
    if number > MOST_THREADS:
        raise UsageError(f"{number:,} threads are more than {MOST_THREADS:,}: no server is asked for that much at once")
    return number


def _headers(given: object) -> dict[str, str]:
    return check_sendable({name: from_environment(value) for name, value in check_headers(given).items()})


def _rate(value: Rate) -> float:
    rate = per_second(value)
    if not rate:
        raise UsageError("the rate must be more than 0, like '100/s'")
    return rate


def _format(name: str) -> str:
    if name not in FORMATS:
        raise UsageError(f"there is no format {name!r}; use one of {', '.join(FORMATS)}")
    return name


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **{name: partial(_path, what=name) for name in ("into", "append")},
    **{name: partial(_flag, what=name) for name in _FLAGS},
    "threads": _threads,
    **{name: partial(parse_positive_seconds, what=name) for name in ("timeout", "max_wait", "back_off", "host_pause")},
    "max_size": partial(size, what="max_size"),
    "headers": _headers,
    "retries": partial(check_whole_number, what="retries", least=0),
    "redirects": partial(check_whole_number, what="redirects", least=0),
    "per_host": partial(check_whole_number, what="per_host"),
    "rate": _rate,
    "method": read_method,
    "format": _format,
}
"""How values are read, in the order in which their mistakes are reported."""
