"""What one thread does: take a URL, ask for it, save what comes, write it into the manifest; and so on."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from loadkit.drive.failures import unexpected
from loadkit.fetcher.body import Body, BodyUse
from loadkit.fetcher.connections import Connections, Network
from loadkit.fetcher.exchange import FetchConnection, missing_of
from loadkit.fetcher.filenames import Filenames, FilePath
from loadkit.fetcher.folder import JsonLinesFile, NameTaken, OutputFolder, compact
from loadkit.fetcher.manifest import Manifest, ManifestLine
from loadkit.fetcher.multiplexer import Pump, Then
from loadkit.fetcher.options import FetchOptions
from loadkit.fetcher.resume import PreviousRuns, digest_of, may_be_removed, parse_path
from loadkit.fetcher.retry import AGAIN, PATIENT, back_off, is_safe_to_resend, is_transient, retry_after
from loadkit.fetcher.schedule import GIVEN_UP, Schedule
from loadkit.fetcher.task import Task, label, message, written
from loadkit.fetcher.url import InvalidUrl, Url, redirected, shown
from loadkit.measure.recording import Batch, RowRecorder, second_of
from loadkit.plan.units import SECOND, nanoseconds, show_span
from loadkit.wire.base import REDIRECTS, BrokenExchange, Clock, Failure, Note, Request

if TYPE_CHECKING:
    from loadkit.wire.base import Exchange

GOOD: Final = frozenset(range(200, 300))
# what is wrong with one name, and not with the disk
_OF_ONE_NAME: Final = frozenset(
    {errno.ENAMETOOLONG, errno.EEXIST, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ}
)
ALIKE: Final = 64
ALONE: Final = 16
"""URLs a thread fetches by itself after one for which the pump was of no use."""
TOGETHER: Final = 256 * 1024
"""Bytes of a reply that may be missing when others wait for it."""
SHOWN_URLS: Final = 3
SHOWN_REASONS: Final = 50


class Disposition(Enum):
    """What a reply comes to, known as soon as its head is there."""

    GOOD = "saved"
    FOLLOW = "a redirect that is followed"
    AGAIN = "asked for once more"
    FAILED = "failed for good"


@dataclass(slots=True)
class Counters:
    """What is counted beside the samples. Each thread has its own, and they are added up."""

    files: int = 0
    bytes: int = 0
    """On the disk."""
    retries: dict[str, int] = field(default_factory=dict)
    """By reason."""
    redirects: int = 0
    network: int = 0
    """Nanoseconds between sending and the last byte, less what the disk took of them."""
    disk: int = 0

    def add(self, other: Counters) -> None:
        """Add another one."""
        self.files += other.files
        self.bytes += other.bytes
        self.redirects += other.redirects
        self.network += other.network
        self.disk += other.disk
        for reason, count in dict(other.retries).items():
            self.retries[reason] = self.retries.get(reason, 0) + count


@dataclass(slots=True)
class FetchContext:
    """What the threads of a fetch share."""

    plan: FetchOptions
    names: Filenames
    clock: Clock
    schedule: Schedule
    network: Network
    manifest: Manifest
    before: PreviousRuns
    appended: JsonLinesFile | None
    hand_over: Callable[[Batch], None]
    began: int
    on_line: Callable[[ManifestLine], None] | None = None
    """Told of each settled URL."""
    is_cutting: bool = False
    """What is under way is being ended."""
    crash: BaseException | None = None
    trouble: OSError | None = None
    """Why the disk takes no more."""
    reasons: dict[Failure, list[str]] = field(default_factory=dict)
    """Some URLs of each failure."""
    lock: Lock = field(default_factory=Lock)
    large: Lock = field(default_factory=Lock)
    """Held while a body that was too large to be held in memory is made into a line."""
    pump: Pump | None = None
    """Who waits for replies, where that is not each thread for itself."""

    def fail(self, error: OSError) -> None:
        """The disk takes no more: end the run."""
        self.trouble = self.trouble or error
        self.schedule.stop()


@dataclass(slots=True)
class PendingExchange:
    """A request that was sent, and what has come of its reply."""

    task: Task
    body: Body
    like: Request
    payload: bytes
    sent: int
    data: bytes = b""


class Worker:
    """One thread; `run` is what it does."""

    def __init__(self, number: int, context: FetchContext, headers: dict[str, str]) -> None:
        self.counters = Counters()
        self.connections = Connections(context.network)
        self.failed = 0
        """URLs that failed for good."""
        self._number = number
        self._context = context
        self._plan = context.plan
        self._clock = context.clock
        self._schedule = context.schedule
        self._headers = headers
        self._written = written(headers)
        self._output = OutputFolder(context.manifest.path.parent)
        self._timeout = nanoseconds(context.plan.seconds)
        self._bound = context.plan.bound
        self._requests: dict[tuple[str, str], Request] = {}
        self._tapes: dict[str, RowRecorder] = {}
        self._second = 0
        self._went = 0
        self._disposition = Disposition.FAILED
        self._there: Url | None = None
        self.due_by = 0
        """See `Rider`."""
        self._alone = 0
        """So many URLs it fetches without the pump."""
        self._ridden: FetchConnection | None = None
        self._pending: PendingExchange | None = None
        self._rest: Callable[[], object] | None = None
        """What the pump left to be done."""

    def run(self) -> None:
        """Fetch until there is nothing more to fetch."""
        take = self._schedule.take
        try:
            while (found := take(self._number)) is not None:
                task, due = found
                if due <= self._clock.now() or self._comes_to_turn(task, due):
                    there = task.address
                    self._fetch(task, due)
                    self._ride(there)
        finally:
            self._give()
            self.connections.close()
            self._output.close()

    def _comes_to_turn(self, task: Task, due: int) -> bool:
        self._clock.pause(due - self._clock.now(), lambda: self._schedule.is_stopped)
        return self._schedule.is_still_wanted(task)

    # -- while others wait for its replies; see `pump.Rider`

    def _ride(self, there: Url) -> None:
        """Have the pump do what is ordinary, and then what is not."""
        pump = self._context.pump
        if not (pump and pump.is_open):
            return
        if self._alone:
            self._alone -= 1
            return
        connection = self._ridden = self.connections.known(there)
        if connection and connection.channel and not there.origin.tls:
            pump.carry(self, connection.channel.sock.fileno())
        rest, self._rest = self._rest, None
        if rest:
            rest()

    def set_off(self) -> bool:
        """See `Rider`."""
        try:
            return self._send_next()
        except BaseException as error:  # noqa: BLE001 - to be raised by the thread whose it is
            return self._leave(_raised, error)

    def take(self, room: memoryview) -> Then:
        """See `Rider`."""
        try:
            return self._take_reply(room)
        except BaseException as error:  # noqa: BLE001 - as above
            self._leave(_raised, error)
            return Then.LEAVE

    def leave(self, *, late: bool) -> None:
        """See `Rider`."""
        assert self._pending
        met = BlockingIOError() if late and not self._pending.data else None
        self._leave(self._finish, self._pending, self._pending.data or None, met)

    def _leave(self, what: Callable[..., object], *values: object) -> bool:
        """The thread itself has to do this."""
        self._rest = partial(what, *values)
        return False

    def _send_next(self) -> bool:
        found = self._schedule.take_now(self._number)
        if found is None:
            return False
        task, due = found
        connection, like = self._ridden, self._like(task)
        if (
            connection is None
            or self.connections.known(task.address) is not connection
            or like.method == "HEAD"
            or not connection.is_ready(like)
        ):
            self._alone = ALONE
            return self._leave(self._fetch, task, due)
        body = self._begun(task, due)
        if body is None:
            return False
        payload = self._message(task)
        # a server that does not read on yet is waited for by the thread itself
        sent, went, met = connection.send_nowait(payload)
        self._pending = pending = PendingExchange(task, body, like, payload, sent)
        self.due_by = sent + self._timeout
        if went != len(payload):
            return self._leave(self._finish, pending, None, met, went)
        return True

    def _take_reply(self, room: memoryview) -> Then:
        connection, pending = self._ridden, self._pending
        assert connection, "it was set off"
        assert connection.channel
        assert pending
        try:
            came = room[: connection.channel.receive_into(room)]
        except OSError as error:
            self._leave(self._finish, pending, pending.data or None, None if pending.data else error)
            return Then.LEAVE
        whole = pending.data + came if pending.data else came
        exchange = connection.match_known_head(pending.like, pending.body, pending.sent, whole)
        if exchange is None:
            whole = bytes(whole)
            missing = missing_of(whole)
            if came and missing is not None and 0 < missing <= TOGETHER:
                pending.data = whole
                return Then.WAIT
            if missing != 0:
                self._alone = ALONE
                self._leave(self._finish, pending, whole)
                return Then.LEAVE
            exchange = self._exchange_of(pending, whole)
        if exchange[5]:
            self._leave(self._judge, pending.task, pending.body, exchange)
            return Then.LEAVE
        # at once, for what came is where the next one will be
        self._judge(pending.task, pending.body, exchange)
        return Then.SET_OFF

    def _finish(
        self, pending: PendingExchange, data: bytes | None, met: OSError | None = None, went: int | None = None
    ) -> None:
        """The long way through an exchange that has begun."""
        self._judge(pending.task, pending.body, self._exchange_of(pending, data, met, went))

    def _exchange_of(
        self, pending: PendingExchange, data: bytes | None, met: OSError | None = None, went: int | None = None
    ) -> Exchange:
        assert self._ridden
        request = replace(pending.like, payload=pending.payload, sink=pending.body)
        return self._ridden.complete(request, pending.sent, len(request.payload) if went is None else went, data, met)

    # -- one exchange

    def _fetch(self, task: Task, due: int) -> None:
        body = self._begun(task, due)
        if body is None:
            return
        try:
            exchange = self.connections.to(task.address).send(self._like(task), self._message(task), body)
        except BrokenExchange as broken:  # the name leads nowhere
            now = self._clock.now()
            exchange = 0, 0, now, now, 0, Note(broken.failure)
        self._judge(task, body, exchange)

    def _begun(self, task: Task, due: int) -> Body | None:
        """What takes the reply; None if there is no use in asking."""
        refusal = self._schedule.refusal(task)
        if refusal:
            self._schedule.unused(task.address.site)
            task.due = task.due or due
            self._fail(task, Failure(refusal.kind, f"not tried: {refusal.message}"), self._clock.now())
            return None
        if not task.hops:
            task.due = due
            task.attempts += 1
            task.started = task.started or time.time()
        return Body(
            lambda status, headers: self._choose(task, status, headers),
            self._output,
            self._clock,
            bound=self._bound,
            raw=self._plan.raw,
            timeout=self._timeout,
            is_cutting=self._is_cutting,
            tag=self._tag(task) if self._plan.name else "",
        )

    def _is_cutting(self) -> bool:
        return self._context.is_cutting

    def _message(self, task: Task) -> bytes:
        payload = message(task, self._headers, self._written)
        self._went = len(payload)
        return payload

    def _like(self, task: Task) -> Request:
        """A request like the task's but for its bytes; making one takes 1.5 us."""
        there = task.address
        verb = "GET" if task.became_get else task.method
        known = self._requests.get((there.site, verb))
        if known is None:
            if len(self._requests) >= ALIKE:
                self._requests.clear()
            known = self._requests[there.site, verb] = Request(
                origin=there.origin,
                method=verb,
                url=there.site,
                payload=b"",
                timeout=self._timeout,
                keep=None,
            )
        return known

    def _choose(self, task: Task, status: int, headers: dict[bytes, bytes]) -> tuple[BodyUse, FilePath | None]:
        """What becomes of the body; called when the head is there."""
        task.status = status
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        if 200 <= status < 300:
            self._disposition = Disposition.GOOD
            if self._context.appended:
                return BodyUse.LINE, self._failed_place(task, content_type)
            try:
                return BodyUse.FILE, self._context.names.place(task.position, task.asked, task.key, content_type)
            except ValueError as error:
                raise BrokenExchange(Failure("check", f"no name for it: {error}")) from None
        if status in REDIRECTS and b"location" in headers:
            self._disposition = Disposition.FOLLOW
            self._there = self._lead(task, headers[b"location"])
            return BodyUse.SKIP, None
        if status in AGAIN and self._may_ask_again(task, None, headers):
            self._disposition = Disposition.AGAIN
            return BodyUse.SKIP, None
        self._disposition = Disposition.FAILED
        return (
            (BodyUse.FILE, self._failed_place(task, content_type)) if self._plan.keep_failed else (BodyUse.SKIP, None)
        )

    def _failed_place(self, task: Task, content_type: str) -> FilePath:
        return self._context.names.failed(task.position, task.asked, task.key, content_type)

    def _lead(self, task: Task, location: bytes) -> Url:
        if task.hops >= self._plan.redirects:
            raise BrokenExchange(Failure("check", f"more than {self._plan.redirects} redirects"))
        try:
            return redirected(task.address, location)
        except (InvalidUrl, ValueError) as error:
            raise BrokenExchange(Failure("check", f"status {task.status} leads nowhere: {error}")) from None

    def _may_ask_again(
        self, task: Task, failure: Failure | None, headers: dict[bytes, bytes], *, sent: bool = True
    ) -> bool:
        if not is_safe_to_resend(task, failure, sent=sent):
            return False
        if failure is None and _is_throttled(task.status, headers):
            span = retry_after(headers.get(b"retry-after"), time.time())
            return (span or 0) <= self._plan.longest_wait and task.throttled < self._plan.retries * PATIENT
        return task.attempts - task.throttled <= self._plan.retries

    # -- what came of it

    def _judge(self, task: Task, body: Body, exchange: Exchange) -> None:
        _, sent, arrived, taken, size, note = exchange
        task.sent = task.sent or sent
        task.disk += body.disk
        if note and note.connects:
            self._tape(task, taken).counts.connected(note)
        failure = note.failure if note else None
        if body.is_abandoned:
            failure = None
        if body.fault:
            self._give_up(task, body, body.fault)
        elif failure:
            self._broken(task, body, failure, taken, size, sent=bool(sent))
        elif self._disposition is Disposition.GOOD:
            self._save(task, body, arrived, taken, size)
        elif self._disposition is Disposition.FOLLOW:
            self._follow(task, size)
        elif self._disposition is Disposition.AGAIN:
            self._put_off(task, body, size)
        else:
            self._refused(task, body, taken, size)

    def _went_well(self, task: Task) -> None:
        self._schedule.went_well(task.address.site)

    def _give_up(self, task: Task, body: Body, error: OSError) -> None:
        """The disk takes no more; what is not in the manifest is fetched by the next run."""
        body.drop()
        self._schedule.unused(task.address.site)
        self._context.fail(error)
        self._tape(task, self._clock.now()).counts.cut += 1

    def _broken(self, task: Task, body: Body, failure: Failure, now: int, size: int, *, sent: bool) -> None:
        body.drop()
        if self._context.is_cutting:
            self._schedule.unused(task.address.site)
            self._tape(task, now).counts.cut += 1
            return
        can_pass = is_transient(failure)
        if failure.kind in ("dns", "tls") and not can_pass:
            self.connections.forget(task.address)
            self._schedule.closed(task.address.site, failure, GIVEN_UP)
        elif failure.kind in ("dns", "connect", "tls", "timeout") and not body.came:
            self.connections.forget(task.address)
            self._schedule.went_down(task.address.site, failure)
        else:
            self._schedule.went_well(task.address.site)
        if can_pass and self._may_ask_again(task, failure, {}, sent=sent):
            self._again(task, failure.kind, now + self._back_off(task), size)
        else:
            self._fail(task, failure, now, size=size)

    def _follow(self, task: Task, size: int) -> None:
        assert self._there is not None
        self._went_well(task)
        self.counters.redirects += 1
        self._extra(task, size)
        task.follow(self._there, task.status)
        self._schedule.again(task)

    def _put_off(self, task: Task, body: Body, size: int) -> None:
        """It said not now, and for how long."""
        now = self._clock.now()
        span = retry_after(body.headers.get(b"retry-after"), time.time())
        if _is_throttled(task.status, body.headers):
            task.throttled += 1
            when = self._schedule.throttled(task.address.site, span)
        else:
            self._went_well(task)
            when = now + max(span or 0, self._back_off(task))
        self._again(task, str(task.status), when, size)

    def _again(self, task: Task, reason: str, when: int, size: int) -> None:
        self.counters.retries[reason] = self.counters.retries.get(reason, 0) + 1
        self._extra(task, size)
        task.start_over()
        self._schedule.later(task, when)

    def _back_off(self, task: Task) -> int:
        return back_off(task.attempts - task.throttled - 1, self._plan.first_wait)

    def _extra(self, task: Task, size: int) -> None:
        """Bytes of replies that did not settle anything."""
        counts = self._tape(task, self._clock.now()).counts
        counts.bytes_received += size
        counts.bytes_sent += self._went

    def _refused(self, task: Task, body: Body, taken: int, size: int) -> None:
        """A status that is a failure for good."""
        span = retry_after(body.headers.get(b"retry-after"), time.time())
        failure = unexpected(task.status, GOOD)
        if _is_throttled(task.status, body.headers) and (span or 0) > self._plan.longest_wait:
            asked = show_span((span or 0) / SECOND)
            limit = show_span(self._plan.longest_wait / SECOND)
            failure = Failure(
                "check", f"status {task.status}, asked to wait {asked}, which is more than {limit} (--max-wait)"
            )
            self._schedule.closed(task.address.site, failure, span or 0)
        else:
            self._went_well(task)
        file = None
        if body.use is BodyUse.FILE and not body.is_abandoned:
            try:
                file = self._put(task, body)
            except BrokenExchange:
                body.drop()  # a body that does not decode is no loss beside its status
            except OSError as error:
                body.drop()
                if error.errno not in _OF_ONE_NAME:
                    self._context.fail(error)
        else:
            body.drop()
        self._fail(task, failure, taken, size=size, file=file, bytes_=body.size)

    def _put(self, task: Task, body: Body) -> tuple[str, str]:
        """Save the body of a failed status: its name and hash."""
        assert body.place is not None
        saved = body.finish()
        self._output.put(body.place, self._tag(task))
        task.disk += body.disk
        return str(body.place), saved.sha256

    def _tag(self, task: Task) -> str:
        return f".{task.position}-{task.key:016x}" if self._plan.name else ""

    # -- settled

    def _save(self, task: Task, body: Body, arrived: int, taken: int, size: int) -> None:
        """A good reply: into its file, into the manifest, into the figures; in this order."""
        before = body.disk
        began = self._clock.now()
        try:
            line = self._line(task, arrived)
            if self._context.appended:
                self._append(task, body, line, self._context.appended)
            else:
                self._file(task, body, line)
        except BrokenExchange as broken:
            body.drop()
            self._went_well(task)
            failure = broken.failure
            if is_transient(failure) and self._may_ask_again(task, failure, {}):
                self._again(task, failure.kind, taken + self._back_off(task), size)
            else:
                self._fail(task, failure, taken, size=size)
            return
        except OSError as error:
            body.drop()
            self._went_well(task)
            if error.errno in _OF_ONE_NAME or isinstance(error, NameTaken):
                self._fail(task, Failure("check", f"cannot save it: {error.strerror or error}"), taken, size=size)
            else:
                self._context.fail(error)
                self._tape(task, taken).counts.cut += 1
            return
        after = self._clock.now()
        self._count(task, arrived, taken, size, disk=task.disk + after - began, during=before)
        self.counters.files += 1
        self.counters.bytes += line.bytes or 0
        if self._context.on_line:
            self._context.on_line(line)
        self._schedule.went_well(task.address.site, is_settled=True)

    def _file(self, task: Task, body: Body, line: ManifestLine) -> None:
        context, place = self._context, body.place
        assert place is not None
        saved = body.finish()
        file = str(place)
        old = context.before.spoiled.get(context.before.entry_key(task.key, task.position))
        if context.plan.name is None:
            self._output.put(place)
        elif old == file:
            self._output.put(place, self._tag(task))
        else:
            try:
                self._output.put_new(place, self._tag(task))
            except NameTaken:
                self._adopt(place, saved.sha256)
                body.drop()
        line.file, line.bytes, line.sha256 = file, saved.size, saved.sha256
        context.manifest.append(line)
        self._clear(task, file)

    def _adopt(self, place: FilePath, sha256: str) -> None:
        """A file of that name that no line tells of, with just this content: a kill came before the line."""
        if digest_of(str(place)) in self._context.before.files or self._output.hash(place) != sha256:
            raise NameTaken(f"there is a file {place} already")

    def _append(self, task: Task, body: Body, line: ManifestLine, appended: JsonLinesFile) -> None:
        with self._context.large if body.is_large else nullcontext():
            content = compact(body.finish().content)
            line.sha256 = hashlib.sha256(content).hexdigest()
            line.file, line.bytes = appended.path.name, len(content) + 1
            with self._context.manifest.lock:
                line.offset = appended.write(content)
                self._context.manifest.write(line)
        self._clear(task, "")

    def _clear(self, task: Task, file: str) -> None:
        """Remove what earlier runs left of this URL under other names."""
        before = self._context.before
        if not (before.failed or before.spoiled or before.orphans):
            return
        key = before.entry_key(task.key, task.position)
        stale = [before.failed.pop(key, None), before.spoiled.pop(key, None)]
        if before.orphans and file:
            stale.append(before.orphans.pop(parse_path(file).name.rpartition(".")[0], None))
        for old in stale:
            if old is not None and old != file and may_be_removed(old):
                self._output.remove(parse_path(old))

    def _line(self, task: Task, arrived: int) -> ManifestLine:
        asked = task.asked
        return ManifestLine(
            url=shown_whole(asked.url),
            position=task.position,
            status=task.status,
            attempts=task.attempts,
            started=task.started,
            seconds=(arrived - task.due) / SECOND,
            method=task.method,
            final_url=None if task.address is asked else shown_whole(task.address.url),
            key=f"{task.key:016x}",
        )

    def _fail(
        self,
        task: Task,
        failure: Failure,
        now: int,
        *,
        size: int = 0,
        file: tuple[str, str] | None = None,
        bytes_: int = 0,
    ) -> None:
        """It failed for good: say so in the manifest and the figures."""
        line = self._line(task, now)
        line.status = task.status or None
        line.error, line.kind = failure.message, failure.kind
        if file:
            line.file, line.sha256, line.bytes = *file, bytes_
        try:
            self._context.manifest.append(line)
        except OSError as error:
            self._context.fail(error)
            self._tape(task, now).counts.cut += 1
            return
        if file:
            self._clear(task, file[0])
        self.failed += 1
        tape = self._tape(task, now)
        tape.counts.fail(failure, at=now, span=now - task.due, status=task.status, size=size)
        tape.counts.bytes_sent += self._went if task.sent else 0
        self.counters.network += max(0, now - task.sent - task.disk) if task.sent else 0
        self.counters.disk += task.disk
        with self._context.lock:
            urls = self._context.reasons.get(failure)
            if urls is None and len(self._context.reasons) < SHOWN_REASONS:
                urls = self._context.reasons[failure] = []
            if urls is not None and len(urls) < SHOWN_URLS:
                urls.append(shown(task.asked.url))
        self._settled(line)

    def _settled(self, line: ManifestLine) -> None:
        if self._context.on_line:
            self._context.on_line(line)
        self._schedule.finish()

    # -- figures

    def _count(self, task: Task, arrived: int, taken: int, size: int, *, disk: int, during: int) -> None:
        tape = self._tape(task, taken)
        tape.samples += (task.due, task.sent, arrived, taken, task.status, size)
        tape.bytes_sent += self._went
        self.counters.network += max(0, arrived - task.sent - during)
        self.counters.disk += disk

    def _tape(self, task: Task, instant: int) -> RowRecorder:
        second = second_of(instant, self._context.began)
        if second != self._second:
            self._give()
            self._second = second
        name = task.row = task.row or label(task)
        tape = self._tapes.get(name)
        if tape is None:
            tape = self._tapes[name] = RowRecorder(name, 0)
        return tape

    def _give(self) -> None:
        """Hand over what was written in the second that has passed."""
        for tape in self._tapes.values():
            if batch := tape.hand_over(self._second):
                self._context.hand_over(batch)
        self._tapes.clear()


def _raised(error: BaseException) -> None:
    raise error


def _is_throttled(status: int, headers: dict[bytes, bytes]) -> bool:
    """The server lives, and asks to be left alone for a while."""
    return status == 429 or (status == 503 and b"retry-after" in headers)


def shown_whole(url: str) -> str:
    """A URL as it is written into the manifest: whole, with what is secret in its query masked."""
    if "?" not in url:
        return url
    from loadkit.plan.redact import redact

    return str(redact(url))
