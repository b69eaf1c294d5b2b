"""The backlog by class in Redis: accept jobs, show the heads of classes, count, look one up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from conductor.adapters.redis.chains import RedisChains
from conductor.adapters.redis.client import address, translating
from conductor.adapters.redis.codec.lines import kept, lines_of
from conductor.adapters.redis.codec.rows import heads_asked
from conductor.adapters.redis.reviews import asked_text, verdict_rows
from conductor.adapters.redis.scans.ended import rows_by_state, rows_dead_by_own_cause
from conductor.adapters.redis.scripts import Scripts
from conductor.adapters.rq import envelope
from conductor.base.errors import Unreachable
from conductor.base.redis_keys import LETTERS, LISTED_STATES, STATE_OF
from conductor.model.causes import CAUSES, Cause, by_cause
from conductor.model.chains import ChainStates
from conductor.model.ledger_entries import (
    MOST_NAMED,
    STATES,
    Entry,
    JobState,
    JobView,
    Pulse,
    PutResult,
    Revised,
    Unsettled,
)
from conductor.model.served_by import ServedBy
from conductor.model.snapshot import Candidate, Head, JobClass, Lookahead, Reservation

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
#: Rows of candidates: ids and state lines stay as they came, since most of them are known.
_raw_rows = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_raw_candidate = msgspec.msgpack.Decoder(tuple[str, int, msgspec.Raw, msgspec.Raw]).decode
_class_to_json = msgspec.json.Encoder(order="deterministic").encode
_to_json = msgspec.json.Encoder().encode
_class_from_json = msgspec.json.Decoder(JobClass).decode
_served_by = msgspec.json.Decoder(ServedBy).decode
_reservation_from_json = msgspec.json.Decoder(Reservation).decode
SCAN_COUNT = 10_000
#: Of a message, in characters: the whole of it is in the receipt.
MESSAGE_CHARS = 500


class RedisBacklog:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys
        #: Descriptors never change under their number while the ledger lives; `origin` tells one ledger from
        #: the next. With it goes the floor of new numbers, by which heads are told.
        self._classes: dict[str, JobClass] = {}
        self._origin = ""
        #: Class → its heads as last read: the same text is the same objects, most of a tick's reading is not
        #: made anew.
        self._heads: dict[str, tuple[bytes, bytes, tuple[Head, ...]]] = {}
        self._outlook = RedisChains(scripts)

    def put(self, backlog: str, entries: Sequence[Entry]) -> PutResult:
        if not entries:
            return PutResult(new=0, known=0)
        # Of one that comes alone what it takes to hand it over comes with it.
        alone = [envelope.data(entries[0].job_id, 1)] if len(entries) == 1 else []
        new: int = self._scripts.run("put", _pack(put_message(backlog, entries)), *alone)
        return PutResult(new=new, known=len(entries) - new)

    def revise(
        self, backlog: str, entries: Sequence[Entry], *, is_moving: bool = False, is_trial: bool = False
    ) -> Revised:
        if not entries:
            return Revised()
        message, seals = _pack(put_message(backlog, entries)), _pack(self._seals(entries))
        said = self._scripts.run("revise", message, "1" * is_moving, "1" * is_trial, seals)
        changed, risen, going, done, moved, elsewhere = _unpack(said)
        return Revised(
            changed=changed,
            risen=paired(risen),
            going=going,
            done=done,
            moved=moved,
            elsewhere=paired(elsewhere),
        )

    def _seals(self, entries: Sequence[Entry]) -> list[str]:
        """Of each line, in order; none where lines are not sealed."""
        return []

    def candidates(self, look: Lookahead) -> tuple[Candidate, ...]:
        head, *rows = _raw_rows(self._scripts.run("candidates", heads_asked(look)))
        origin, found = _unpack(head), [_raw_candidate(row) for row in rows]
        if origin != self._origin:
            # Redis was emptied meanwhile, or stepped back: numbers start again.
            self._classes, self._origin, self._heads = {}, origin, {}
        self._learn([number for number, *_ in found if number not in self._classes])
        before, self._heads = self._heads, {}
        for number, _, raw_ids, raw_lines in found:
            known, ids, lines = before.get(number), bytes(raw_ids), bytes(raw_lines)
            if known is None or known[0] != ids or known[1] != lines:
                known = (ids, lines, heads_of(_unpack(ids), _unpack(lines), origin))
            self._heads[number] = known
        candidates = (
            Candidate(job_class=self._classes[number], waiting=waiting, heads=self._heads[number][2])
            for number, waiting, *_ in found
        )
        return tuple(sorted(candidates, key=lambda c: c.job_class.id))

    def chain_states(self, heads: Sequence[str]) -> ChainStates:
        return self._outlook.read(heads)

    def heads(self, ids: Sequence[str]) -> tuple[tuple[str, Head], ...]:
        """After `candidates`, whose classes it goes by."""
        origin, *rows = _unpack(self._scripts.run("heads", _pack(list(ids))))
        known = [row for row in rows if row[0] in self._classes] if origin == self._origin else []
        shown = heads_of([row[1] for row in known], [row[2] for row in known], origin)
        return tuple((self._classes[row[0]].id, head) for row, head in zip(known, shown, strict=True))

    def _learn(self, numbers: Sequence[str]) -> None:
        if not numbers:
            return
        with translating(self._redis):
            texts = cast(list[bytes | None], self._redis.hmget(self._keys.classes, list(numbers)))
        if None in texts:
            # Between the heads and their classes the server lost everything: the next look finds that.
            raise Unreachable("the ledger was emptied while it was read")
        self._classes |= {n: _class_from_json(text) for n, text in zip(numbers, texts, strict=True) if text}

    def counts(self, backlog: str | None = None) -> dict[JobState, int]:
        names = self.backlogs() if backlog is None else (backlog,)
        with translating(self._redis), self._redis.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.hgetall(self._keys.count(name))
            rows: list[dict[bytes, bytes]] = pipe.execute()
        return {state: sum(int(row.get(LETTERS[state].encode(), 0)) for row in rows) for state in STATES}

    def backlogs(self) -> tuple[str, ...]:
        with translating(self._redis):
            names = cast(set[bytes], self._redis.smembers(self._keys.backlogs))
        return tuple(sorted(name.decode() for name in names))

    def generation(self, proposed: str | None = None) -> str | None:
        with translating(self._redis):
            if proposed is not None:
                self._redis.set(self._keys.generation, proposed, nx=True)
            mark = cast(bytes | None, self._redis.get(self._keys.generation))
        return None if mark is None else mark.decode()

    def settle(self, for_s: float) -> None:
        with translating(self._redis):
            self._redis.set(self._keys.rebuild_grace, "1", px=max(1, round(for_s * 1000)))

    def pulse(self) -> Pulse:
        mark, left_ms, for_ms, beat_ms, silent = self._scripts.run("pulse")
        unsettled = (
            None if for_ms < 0 else Unsettled(for_s=for_ms / 1000, silent=silent, heard_at=beat_ms / 1000)
        )
        return Pulse(
            mark=None if mark is None else mark.decode(), rebuilt_s=left_ms / 1000, unsettled=unsettled
        )

    def history(self) -> str:
        return cast(bytes, self._scripts.run("served")).decode()

    def server(self) -> str:
        return address(self._redis)

    def served_by(self) -> ServedBy | None:
        with translating(self._redis):
            found = cast(bytes | None, self._redis.get(self._keys.served_by))
        return None if found is None else _served_by(found)

    def note_server(self, served: ServedBy) -> None:
        with translating(self._redis):
            self._redis.set(self._keys.served_by, msgspec.json.encode(served))

    def complete(self, history: str, content: str, number: int) -> bool:
        return bool(self._scripts.run("complete", history, content, number))

    def completed(self) -> dict[str, int]:
        with translating(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.complete_dispatches))
        return {content.decode(): int(number) for content, number in rows.items()}

    def job(self, job_id: str) -> JobView | None:
        packed = self._scripts.run("job", job_id, MOST_NAMED)
        return None if packed is None else view_of(job_id, _unpack(packed))

    def waiters(self, job_id: str, limit: int) -> tuple[int, tuple[str, ...]]:
        key = self._keys.waited_on_by(job_id)
        with translating(self._redis), self._redis.pipeline(transaction=True) as pipe:
            pipe.scard(key)
            pipe.sscan(key, count=limit)
            count, (_, some) = pipe.execute()
        return count, tuple(sorted(other.decode() for other in some)[:limit])

    def find(self, prefix: str, limit: int = 10) -> tuple[str, ...]:
        pattern = "".join(f"\\{c}" if c in "*?[]^\\" else c for c in prefix) + "*"
        found: set[str] = set()
        for job_id, _ in self._scan(pattern):
            found.add(job_id)
            if len(found) >= limit:
                break
        return tuple(sorted(found))

    def states(self, ids: Sequence[str]) -> dict[str, JobState]:
        flat: list[str] = _unpack(self._scripts.run("states", _pack(list(ids))))
        return {job_id: STATE_OF[letter] for job_id, letter in zip(flat[0::2], flat[1::2], strict=True)}

    def lines(self, ids: Sequence[str]) -> dict[str, bytes]:
        found = zip(ids, lines_of(self._scripts, ids), strict=True)
        return {job_id: line for job_id, line in found if line is not None}

    def causes(self, backlog: str | None = None) -> dict[str, int]:
        names = self.backlogs() if backlog is None else (backlog,)
        with translating(self._redis), self._redis.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.hgetall(self._keys.causes(name))
                pipe.hget(self._keys.count(name), LETTERS["dead"])
            rows: list[Any] = pipe.execute()
        own = Counter[str]()
        for causes in rows[0::2]:
            own.update({cause.decode(): int(n) for cause, n in causes.items()})
        return by_cause(own, sum(int(count or 0) for count in rows[1::2]))

    def has_delayed(self, backlogs: Sequence[str] = ()) -> bool:
        return bool(self._scripts.run("has_delayed", _pack(list(backlogs))))

    def died(self, backlog: str | None = None) -> Iterator[str]:
        return (job_id for job_id, _ in self._of_backlog(rows_dead_by_own_cause(self._scripts), backlog))

    def ids(self, state: JobState, backlog: str | None = None) -> Iterator[str]:
        letter = LETTERS[state]
        rows = rows_by_state(self._scripts, state) if state in LISTED_STATES else self._scan("*")
        return (job_id for job_id, text in self._of_backlog(rows, backlog) if text.startswith(letter))

    def _of_backlog(self, rows: Iterable[tuple[str, str]], backlog: str | None) -> Iterator[tuple[str, str]]:
        """`rows`: id and state line, which has the number of its class."""
        with translating(self._redis):
            named = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.class_backlog))
        backlog_of = {number.decode(): name.decode() for number, name in named.items()}
        return (
            (i, text)
            for i, text in rows
            if backlog is None or backlog_of.get(text.split("|", 4)[3]) == backlog
        )

    def _scan(self, pattern: str) -> Iterator[tuple[str, str]]:
        cursor = 0
        while True:
            with translating(self._redis):
                cursor, rows = cast(
                    tuple[int, dict[bytes, bytes]],
                    self._redis.hscan(self._keys.state, cursor, match=pattern, count=SCAN_COUNT),
                )
            for job_id, text in rows.items():
                yield job_id.decode(), text.decode()
            if cursor == 0:
                return


def paired(flat: Sequence[Any]) -> dict[str, int]:
    """[name, n, name, n, …], as a table of Lua comes back in no order of its own."""
    return dict(sorted(zip(flat[0::2], flat[1::2], strict=True)))


def put_message(backlog: str, entries: Sequence[Entry]) -> list[Any]:
    """Columns rather than rows, and each class once: what `put.lua` reads without building a table a job."""
    position: dict[str, int] = {}
    descriptors: list[tuple[str, str]] = []
    class_of: list[int] = []
    special: dict[int, list[Any]] = {}
    for index, entry in enumerate(entries, start=1):
        job_class = entry.job_class
        at = position.get(job_class.id)
        if at is None:
            if job_class.backlog != backlog:
                raise ValueError(
                    f"{entry.job_id}: its class is of backlog {job_class.backlog}, not {backlog}"
                )
            descriptors.append((job_class.id, _class_to_json(job_class).decode()))
            at = position[job_class.id] = len(descriptors)
        class_of.append(at)
        if not entry.is_plain:
            special[index] = special_of(entry)
    ids = [entry.job_id for entry in entries]
    # As text: the server's msgpack knows no binary. A line is JSON, so the bytes that come out are those that
    # went in.
    lines = [kept(entry.job_id, entry.line.decode()) for entry in entries]
    return [backlog, descriptors, ids, lines, class_of, special]


def special_of(entry: Entry) -> list[Any]:
    over = LETTERS[entry.over] if entry.over else ""
    failures = [word for cause, n in entry.failures.items() for word in (cause, str(n))]
    if entry.cause is not None:
        failures += ["cause", entry.cause, "message", entry.message[:MESSAGE_CHARS]]
    not_before = "" if entry.not_before is None else round(entry.not_before * 1000)
    return [
        entry.after,
        entry.after_ended,
        entry.is_done,
        entry.attempts,
        over,
        failures,
        files_of(entry),
        not_before,
        entry.token,
        "" if entry.own_priority is None else str(entry.own_priority),
        [] if entry.shown is None else [asked_text(entry.shown), verdict_rows(entry.verdicts)],
    ]


def files_of(entry: Entry) -> list[Any]:
    files = entry.files
    if files is None:
        return []
    written = written_text(files.node, files.outputs) if entry.is_done else ""
    return [_to_json(files.job).decode(), {path: list(ids) for path, ids in files.readers.items()}, written]


def written_text(node: str, outputs: Mapping[str, int]) -> str:
    """What an accepted attempt left on the disks of its node, as `chains.lua` reads it."""
    return _to_json({"node": node, "outputs": outputs}).decode() if outputs else ""


def heads_of(ids: list[str], state_lines: list[str], origin: str) -> tuple[Head, ...]:
    """`origin`: when the ledger's first job came (ms), and above which number new attempts begin."""
    created_ms, floor = map(int, origin.split(" "))
    fields = (line.split("|") for line in state_lines)
    return tuple(
        Head(job_id=job_id, attempts=max(int(attempts), floor), since=(created_ms + int(since)) / 1000)
        for job_id, (_, attempts, _, _, since) in zip(ids, fields, strict=True)
    )


def view_of(job_id: str, row: list[Any]) -> JobView:
    (
        letter,
        attempts,
        since,
        descriptor,
        line,
        not_before,
        waits_for,
        waits,
        reservation,
        fails,
        ahead,
        accepted,
    ) = row
    job_class = _class_from_json(descriptor)
    failed = dict(zip(fails[0::2], fails[1::2], strict=True))
    return JobView(
        job_id=job_id,
        state=STATE_OF[letter],
        backlog=job_class.backlog,
        class_id=job_class.id,
        job_class=job_class,
        attempts=int(attempts),
        since=since / 1000,
        line=line.encode(),
        cause=cast(Cause | None, failed.get("cause")),
        message=failed.get("message", ""),
        not_before=float(not_before) / 1000 if not_before else None,
        waits_for=tuple(waits_for),
        waits={STATE_OF.get(letter, "unknown"): n for letter, n in paired(waits).items()},
        ahead=None if ahead == "" else ahead,
        reservation=_reservation_from_json(reservation) if reservation else None,
        failures=failures_of(failed),
        accepted=accepted,
    )


def failures_of(fails: dict[str, str]) -> dict[Cause, int]:
    return {cause: int(fails[cause]) for cause in CAUSES if cause in fails}
