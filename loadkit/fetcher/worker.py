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

from loadkit.drive.check import unexpected
from loadkit.fetcher.body import Body, Use
from loadkit.fetcher.filenames import Names, Place
from loadkit.fetcher.folder import NameTaken, Shelf
from loadkit.fetcher.item import Item, message, written
from loadkit.fetcher.jsonl import Appended, compact
from loadkit.fetcher.labels import label
from loadkit.fetcher.manifest import Before, Line, Manifest, may_be_removed, place_of
from loadkit.fetcher.network import Connections, Network
from loadkit.fetcher.plan import Plan
from loadkit.fetcher.pump import Pump, Then
from loadkit.fetcher.retry import AGAIN, PATIENT, back_off, is_passing, may_send_again, retry_after
from loadkit.fetcher.schedule import GIVEN_UP, Schedule
from loadkit.fetcher.seen import digest_of
from loadkit.fetcher.url import Address, NotAUrl, redirected, shown
from loadkit.measure.recording import Batch, Tape, second_of
from loadkit.plan.units import SECOND, nanoseconds, show_span
from loadkit.wire.base import REDIRECTS, BrokenExchange, Clock, Failure, Note, Request
from loadkit.wire.sockets import missing_of

if TYPE_CHECKING:
    from loadkit.wire.base import Exchange
    from loadkit.wire.sockets import SocketConnection

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


class Fate(Enum):
    """What a reply comes to, known as soon as its head is there."""

    GOOD = "saved"
    FOLLOW = "a redirect that is followed"
    AGAIN = "asked for once more"
    FAILED = "failed for good"


@dataclass(slots=True)
class Tally:
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

    def add(self, other: Tally) -> None:
        """Add another one."""
        self.files += other.files
        self.bytes += other.bytes
        self.redirects += other.redirects
        self.network += other.network
        self.disk += other.disk
        for reason, count in dict(other.retries).items():
            self.retries[reason] = self.retries.get(reason, 0) + count


@dataclass(slots=True)
class Desk:
    """What the threads of a fetch share."""

    plan: Plan
    names: Names
    clock: Clock
    schedule: Schedule
    network: Network
    manifest: Manifest
    before: Before
    appended: Appended | None
    hand_over: Callable[[Batch], None]
    began: int
    on_line: Callable[[Line], None] | None = None
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
class UnderWay:
    """A request that was sent, and what has come of its reply."""

    item: Item
    body: Body
    like: Request
    payload: bytes
    sent: int
    data: bytes = b""


class Worker:
    """One thread; `run` is what it does."""

    def __init__(self, number: int, desk: Desk, headers: dict[str, str]) -> None:
        self.tally = Tally()
        self.connections = Connections(desk.network)
        self.failed = 0
        """URLs that failed for good."""
        self._number = number
        self._desk = desk
        self._plan = desk.plan
        self._clock = desk.clock
        self._schedule = desk.schedule
        self._headers = headers
        self._written = written(headers)
        self._shelf = Shelf(desk.manifest.path.parent)
        self._timeout = nanoseconds(desk.plan.seconds)
        self._bound = desk.plan.bound
        self._requests: dict[tuple[str, str], Request] = {}
        self._tapes: dict[str, Tape] = {}
        self._second = 0
        self._went = 0
        self._fate = Fate.FAILED
        self._there: Address | None = None
        self.due_by = 0
        """See `Rider`."""
        self._alone = 0
        """So many URLs it fetches without the pump."""
        self._ridden: SocketConnection | None = None
        self._under_way: UnderWay | None = None
        self._rest: Callable[[], object] | None = None
        """What the pump left to be done."""

    def run(self) -> None:
        """Fetch until there is nothing more to fetch."""
        take = self._schedule.take
        try:
            while (found := take(self._number)) is not None:
                item, due = found
                if due <= self._clock.now() or self._comes_to_turn(item, due):
                    there = item.address
                    self._fetch(item, due)
                    self._ride(there)
        finally:
            self._give()
            self.connections.close()
            self._shelf.close()

    def _comes_to_turn(self, item: Item, due: int) -> bool:
        self._clock.pause(due - self._clock.now(), lambda: self._schedule.is_stopped)
        return self._schedule.is_still_wanted(item)

    # -- while others wait for its replies; see `pump.Rider`

    def _ride(self, there: Address) -> None:
        """Have the pump do what is ordinary, and then what is not."""
        pump = self._desk.pump
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
        assert self._under_way
        met = BlockingIOError() if late and not self._under_way.data else None
        self._leave(self._finish, self._under_way, self._under_way.data or None, met)

    def _leave(self, what: Callable[..., object], *values: object) -> bool:
        """The thread itself has to do this."""
        self._rest = partial(what, *values)
        return False

    def _send_next(self) -> bool:
        found = self._schedule.take_now(self._number)
        if found is None:
            return False
        item, due = found
        connection, like = self._ridden, self._like(item)
        if (
            connection is None
            or self.connections.known(item.address) is not connection
            or like.method == "HEAD"
            or not connection.is_plain(like)
        ):
            self._alone = ALONE
            return self._leave(self._fetch, item, due)
        body = self._begun(item, due)
        if body is None:
            return False
        payload = self._message(item)
        # a server that does not read on yet is waited for by the thread itself
        sent, went, met = connection.put(payload)
        self._under_way = under_way = UnderWay(item, body, like, payload, sent)
        self.due_by = sent + self._timeout
        if went != len(payload):
            return self._leave(self._finish, under_way, None, met, went)
        return True

    def _take_reply(self, room: memoryview) -> Then:
        connection, under_way = self._ridden, self._under_way
        assert connection, "it was set off"
        assert connection.channel
        assert under_way
        try:
            came = room[: connection.channel.receive_into(room)]
        except OSError as error:
            self._leave(self._finish, under_way, under_way.data or None, None if under_way.data else error)
            return Then.LEAVE
        whole = under_way.data + came if under_way.data else came
        exchange = connection.taken(under_way.like, under_way.body, under_way.sent, whole)
        if exchange is None:
            whole = bytes(whole)
            missing = missing_of(whole)
            if came and missing is not None and 0 < missing <= TOGETHER:
                under_way.data = whole
                return Then.WAIT
            if missing != 0:
                self._alone = ALONE
                self._leave(self._finish, under_way, whole)
                return Then.LEAVE
            exchange = self._exchange_of(under_way, whole)
        if exchange[5]:
            self._leave(self._judge, under_way.item, under_way.body, exchange)
            return Then.LEAVE
        # at once, for what came is where the next one will be
        self._judge(under_way.item, under_way.body, exchange)
        return Then.SET_OFF

    def _finish(
        self, under_way: UnderWay, data: bytes | None, met: OSError | None = None, went: int | None = None
    ) -> None:
        """The long way through an exchange that has begun."""
        self._judge(under_way.item, under_way.body, self._exchange_of(under_way, data, met, went))

    def _exchange_of(
        self, under_way: UnderWay, data: bytes | None, met: OSError | None = None, went: int | None = None
    ) -> Exchange:
        assert self._ridden
        request = replace(under_way.like, payload=under_way.payload, sink=under_way.body)
        return self._ridden.finish(request, under_way.sent, len(request.payload) if went is None else went, data, met)

    # -- one exchange

    def _fetch(self, item: Item, due: int) -> None:
        body = self._begun(item, due)
        if body is None:
            return
        try:
            exchange = self.connections.to(item.address).pour(self._like(item), self._message(item), body)
        except BrokenExchange as broken:  # the name leads nowhere
            now = self._clock.now()
            exchange = 0, 0, now, now, 0, Note(broken.failure)
        self._judge(item, body, exchange)

    def _begun(self, item: Item, due: int) -> Body | None:
        """What takes the reply; None if there is no use in asking."""
        refusal = self._schedule.refusal(item)
        if refusal:
            self._schedule.unused(item.address.site)
            item.due = item.due or due
            self._fail(item, Failure(refusal.kind, f"not tried: {refusal.message}"), self._clock.now())
            return None
        if not item.hops:
            item.due = due
            item.attempts += 1
            item.started = item.started or time.time()
        return Body(
            lambda status, headers: self._choose(item, status, headers),
            self._shelf,
            self._clock,
            bound=self._bound,
            raw=self._plan.raw,
            timeout=self._timeout,
            is_cutting=self._is_cutting,
            tag=self._tag(item) if self._plan.name else "",
        )

    def _is_cutting(self) -> bool:
        return self._desk.is_cutting

    def _message(self, item: Item) -> bytes:
        payload = message(item, self._headers, self._written)
        self._went = len(payload)
        return payload

    def _like(self, item: Item) -> Request:
        """A request like the item's but for its bytes; making one takes 1.5 us."""
        there = item.address
        verb = "GET" if item.is_rewritten else item.method
        known = self._requests.get((there.site, verb))
        if known is None:
            if len(self._requests) >= ALIKE:
                self._requests.clear()
            known = self._requests[there.site, verb] = Request(
                origin=there.origin,
                method=verb,
                url=there.site,
                payload=b"",
                prepared=None,
                timeout=self._timeout,
                keep=None,
            )
        return known

    def _choose(self, item: Item, status: int, headers: dict[bytes, bytes]) -> tuple[Use, Place | None]:
        """What becomes of the body; called when the head is there."""
        item.status = status
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        if 200 <= status < 300:
            self._fate = Fate.GOOD
            if self._desk.appended:
                return Use.LINE, self._failed_place(item, content_type)
            try:
                return Use.FILE, self._desk.names.place(item.position, item.asked, item.key, content_type)
            except ValueError as error:
                raise BrokenExchange(Failure("check", f"no name for it: {error}")) from None
        if status in REDIRECTS and b"location" in headers:
            self._fate = Fate.FOLLOW
            self._there = self._lead(item, headers[b"location"])
            return Use.SKIP, None
        if status in AGAIN and self._may_ask_again(item, None, headers):
            self._fate = Fate.AGAIN
            return Use.SKIP, None
        self._fate = Fate.FAILED
        return (Use.FILE, self._failed_place(item, content_type)) if self._plan.keep_failed else (Use.SKIP, None)

    def _failed_place(self, item: Item, content_type: str) -> Place:
        return self._desk.names.failed(item.position, item.asked, item.key, content_type)

    def _lead(self, item: Item, location: bytes) -> Address:
        if item.hops >= self._plan.redirects:
            raise BrokenExchange(Failure("check", f"more than {self._plan.redirects} redirects"))
        try:
            return redirected(item.address, location)
        except (NotAUrl, ValueError) as error:
            raise BrokenExchange(Failure("check", f"status {item.status} leads nowhere: {error}")) from None

    def _may_ask_again(
        self, item: Item, failure: Failure | None, headers: dict[bytes, bytes], *, sent: bool = True
    ) -> bool:
        if not may_send_again(item, failure, sent=sent):
            return False
        if failure is None and _is_throttled(item.status, headers):
            span = retry_after(headers.get(b"retry-after"), time.time())
            return (span or 0) <= self._plan.longest_wait and item.throttled < self._plan.retries * PATIENT
        return item.attempts - item.throttled <= self._plan.retries

    # -- what came of it

    def _judge(self, item: Item, body: Body, exchange: Exchange) -> None:
        _, sent, arrived, taken, size, note = exchange
        item.sent = item.sent or sent
        item.disk += body.disk
        if note and note.connects:
            self._tape(item, taken).counts.connected(note)
        failure = note.failure if note else None
        if body.had_enough:
            failure = None
        if body.fault:
            self._give_up(item, body, body.fault)
        elif failure:
            self._broken(item, body, failure, taken, size, sent=bool(sent))
        elif self._fate is Fate.GOOD:
            self._save(item, body, arrived, taken, size)
        elif self._fate is Fate.FOLLOW:
            self._follow(item, size)
        elif self._fate is Fate.AGAIN:
            self._put_off(item, body, size)
        else:
            self._refused(item, body, taken, size)

    def _went_well(self, item: Item) -> None:
        self._schedule.went_well(item.address.site)

    def _give_up(self, item: Item, body: Body, error: OSError) -> None:
        """The disk takes no more; what is not in the manifest is fetched by the next run."""
        body.drop()
        self._schedule.unused(item.address.site)
        self._desk.fail(error)
        self._tape(item, self._clock.now()).counts.cut += 1

    def _broken(self, item: Item, body: Body, failure: Failure, now: int, size: int, *, sent: bool) -> None:
        body.drop()
        if self._desk.is_cutting:
            self._schedule.unused(item.address.site)
            self._tape(item, now).counts.cut += 1
            return
        is_passing_ = is_passing(failure)
        if failure.kind in ("dns", "tls") and not is_passing_:
            self.connections.forget(item.address)
            self._schedule.closed(item.address.site, failure, GIVEN_UP)
        elif failure.kind in ("dns", "connect", "tls", "timeout") and not body.came:
            self.connections.forget(item.address)
            self._schedule.went_down(item.address.site, failure)
        else:
            self._schedule.went_well(item.address.site)
        if is_passing_ and self._may_ask_again(item, failure, {}, sent=sent):
            self._again(item, failure.kind, now + self._back_off(item), size)
        else:
            self._fail(item, failure, now, size=size)

    def _follow(self, item: Item, size: int) -> None:
        assert self._there is not None
        self._went_well(item)
        self.tally.redirects += 1
        self._extra(item, size)
        item.follow(self._there, item.status)
        self._schedule.again(item)

    def _put_off(self, item: Item, body: Body, size: int) -> None:
        """It said not now, and for how long."""
        now = self._clock.now()
        span = retry_after(body.headers.get(b"retry-after"), time.time())
        if _is_throttled(item.status, body.headers):
            item.throttled += 1
            when = self._schedule.throttled(item.address.site, span)
        else:
            self._went_well(item)
            when = now + max(span or 0, self._back_off(item))
        self._again(item, str(item.status), when, size)

    def _again(self, item: Item, reason: str, when: int, size: int) -> None:
        self.tally.retries[reason] = self.tally.retries.get(reason, 0) + 1
        self._extra(item, size)
        item.start_over()
        self._schedule.later(item, when)

    def _back_off(self, item: Item) -> int:
        return back_off(item.attempts - item.throttled - 1, self._plan.first_wait)

    def _extra(self, item: Item, size: int) -> None:
        """Bytes of replies that did not settle anything."""
        counts = self._tape(item, self._clock.now()).counts
        counts.bytes_received += size
        counts.bytes_sent += self._went

    def _refused(self, item: Item, body: Body, taken: int, size: int) -> None:
        """A status that is a failure for good."""
        span = retry_after(body.headers.get(b"retry-after"), time.time())
        failure = unexpected(item.status, GOOD)
        if _is_throttled(item.status, body.headers) and (span or 0) > self._plan.longest_wait:
            asked = show_span((span or 0) / SECOND)
            limit = show_span(self._plan.longest_wait / SECOND)
            failure = Failure(
                "check", f"status {item.status}, asked to wait {asked}, which is more than {limit} (--max-wait)"
            )
            self._schedule.closed(item.address.site, failure, span or 0)
        else:
            self._went_well(item)
        file = None
        if body.use is Use.FILE and not body.had_enough:
            try:
                file = self._put(item, body)
            except BrokenExchange:
                body.drop()  # a body that does not decode is no loss beside its status
            except OSError as error:
                body.drop()
                if error.errno not in _OF_ONE_NAME:
                    self._desk.fail(error)
        else:
            body.drop()
        self._fail(item, failure, taken, size=size, file=file, bytes_=body.size)

    def _put(self, item: Item, body: Body) -> tuple[str, str]:
        """Save the body of a failed status: its name and hash."""
        assert body.place is not None
        saved = body.finish()
        self._shelf.put(body.place, self._tag(item))
        item.disk += body.disk
        return str(body.place), saved.sha256

    def _tag(self, item: Item) -> str:
        return f".{item.position}-{item.key:016x}" if self._plan.name else ""

    # -- settled

    def _save(self, item: Item, body: Body, arrived: int, taken: int, size: int) -> None:
        """A good reply: into its file, into the manifest, into the figures; in this order."""
        before = body.disk
        began = self._clock.now()
        try:
            line = self._line(item, arrived)
            if self._desk.appended:
                self._append(item, body, line, self._desk.appended)
            else:
                self._file(item, body, line)
        except BrokenExchange as broken:
            body.drop()
            self._went_well(item)
            failure = broken.failure
            if is_passing(failure) and self._may_ask_again(item, failure, {}):
                self._again(item, failure.kind, taken + self._back_off(item), size)
            else:
                self._fail(item, failure, taken, size=size)
            return
        except OSError as error:
            body.drop()
            self._went_well(item)
            if error.errno in _OF_ONE_NAME or isinstance(error, NameTaken):
                self._fail(item, Failure("check", f"cannot save it: {error.strerror or error}"), taken, size=size)
            else:
                self._desk.fail(error)
                self._tape(item, taken).counts.cut += 1
            return
        after = self._clock.now()
        self._count(item, arrived, taken, size, disk=item.disk + after - began, during=before)
        self.tally.files += 1
        self.tally.bytes += line.bytes or 0
        if self._desk.on_line:
            self._desk.on_line(line)
        self._schedule.went_well(item.address.site, is_settled=True)

    def _file(self, item: Item, body: Body, line: Line) -> None:
        desk, place = self._desk, body.place
        assert place is not None
        saved = body.finish()
        file = str(place)
        old = desk.before.spoiled.get(desk.before.known_as(item.key, item.position))
        if desk.plan.name is None:
            self._shelf.put(place)
        elif old == file:
            self._shelf.put(place, self._tag(item))
        else:
            try:
                self._shelf.put_new(place, self._tag(item))
            except NameTaken:
                self._adopt(place, saved.sha256)
                body.drop()
        line.file, line.bytes, line.sha256 = file, saved.size, saved.sha256
        desk.manifest.append(line)
        self._clear(item, file)

    def _adopt(self, place: Place, sha256: str) -> None:
        """A file of that name that no line tells of, with just this content: a kill came before the line."""
        if digest_of(str(place)) in self._desk.before.files or self._shelf.hash(place) != sha256:
            raise NameTaken(f"there is a file {place} already")

    def _append(self, item: Item, body: Body, line: Line, appended: Appended) -> None:
        with self._desk.large if body.is_large else nullcontext():
            content = compact(body.finish().content)
            line.sha256 = hashlib.sha256(content).hexdigest()
            line.file, line.bytes = appended.path.name, len(content) + 1
            with self._desk.manifest.lock:
                line.offset = appended.write(content)
                self._desk.manifest.write(line)
        self._clear(item, "")

    def _clear(self, item: Item, file: str) -> None:
        """Remove what earlier runs left of this URL under other names."""
        before = self._desk.before
        if not (before.failed or before.spoiled or before.orphans):
            return
        key = before.known_as(item.key, item.position)
        stale = [before.failed.pop(key, None), before.spoiled.pop(key, None)]
        if before.orphans and file:
            stale.append(before.orphans.pop(place_of(file).name.rpartition(".")[0], None))
        for old in stale:
            if old is not None and old != file and may_be_removed(old):
                self._shelf.remove(place_of(old))

    def _line(self, item: Item, arrived: int) -> Line:
        asked = item.asked
        return Line(
            url=shown_whole(asked.url),
            position=item.position,
            status=item.status,
            attempts=item.attempts,
            started=item.started,
            seconds=(arrived - item.due) / SECOND,
            method=item.method,
            final_url=None if item.address is asked else shown_whole(item.address.url),
            key=f"{item.key:016x}",
        )

    def _fail(
        self,
        item: Item,
        failure: Failure,
        now: int,
        *,
        size: int = 0,
        file: tuple[str, str] | None = None,
        bytes_: int = 0,
    ) -> None:
        """It failed for good: say so in the manifest and the figures."""
        line = self._line(item, now)
        line.status = item.status or None
        line.error, line.kind = failure.message, failure.kind
        if file:
            line.file, line.sha256, line.bytes = *file, bytes_
        try:
            self._desk.manifest.append(line)
        except OSError as error:
            self._desk.fail(error)
            self._tape(item, now).counts.cut += 1
            return
        if file:
            self._clear(item, file[0])
        self.failed += 1
        tape = self._tape(item, now)
        tape.counts.fail(failure, at=now, span=now - item.due, status=item.status, size=size)
        tape.counts.bytes_sent += self._went if item.sent else 0
        self.tally.network += max(0, now - item.sent - item.disk) if item.sent else 0
        self.tally.disk += item.disk
        with self._desk.lock:
            urls = self._desk.reasons.get(failure)
            if urls is None and len(self._desk.reasons) < SHOWN_REASONS:
                urls = self._desk.reasons[failure] = []
            if urls is not None and len(urls) < SHOWN_URLS:
                urls.append(shown(item.asked.url))
        self._settled(line)

    def _settled(self, line: Line) -> None:
        if self._desk.on_line:
            self._desk.on_line(line)
        self._schedule.finish()

    # -- figures

    def _count(self, item: Item, arrived: int, taken: int, size: int, *, disk: int, during: int) -> None:
        tape = self._tape(item, taken)
        tape.samples += (item.due, item.sent, arrived, taken, item.status, size)
        tape.bytes_sent += self._went
        self.tally.network += max(0, arrived - item.sent - during)
        self.tally.disk += disk

    def _tape(self, item: Item, instant: int) -> Tape:
        second = second_of(instant, self._desk.began)
        if second != self._second:
            self._give()
            self._second = second
        name = item.row = item.row or label(item)
        tape = self._tapes.get(name)
        if tape is None:
            tape = self._tapes[name] = Tape(name, 0)
        return tape

    def _give(self) -> None:
        """Hand over what was written in the second that has passed."""
        for tape in self._tapes.values():
            if batch := tape.hand_over(self._second):
                self._desk.hand_over(batch)
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
    from loadkit.plan.redact import masked

    return str(masked(url))
