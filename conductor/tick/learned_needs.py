"""Learns needs from receipts as they are written, and puts what was learned into the candidates of a tick.

A thread reads what was added to the receipt files; the tick only looks things up. `state_dir/learned.json`
holds the samples and how far each file was read: it may be deleted, the ends of the files are then read
again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import msgspec
from loguru import logger

from conductor.adapters.files.archives import header_of
from conductor.base.code_version import code_version
from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event
from conductor.base.settings.sections import LearningSettings
from conductor.core.capacity.cluster import Free
from conductor.core.needs.caps import within
from conductor.core.needs.drift import drifts, sentence
from conductor.core.needs.escalation import instead
from conductor.core.needs.estimates import LearnedNeeds, Policy, Taught
from conductor.core.needs.learned_amounts import LEARNED
from conductor.core.needs.samples import Memory, Ring
from conductor.model.limits import Limits
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Candidate, JobClass, Snapshot
from conductor.model.spec import TaskDecl
from conductor.record.journal import Journal
from conductor.recovery.forget_needs import forgotten

CACHE_VERSION = 1
#: New receipts are looked for so often, and the cache is written at most so often.
EVERY_S, WRITE_EVERY_S = 1.0, 30.0
#: While jobs wait of whose kind nothing is known, few of which begin: so often.
SOON_S = 0.2
#: Of a file that was never read before only so much of its end is: what is older would be forgotten anyway.
TAIL_BYTES = 32 << 20
BLOCK_BYTES = 4 << 20
#: A node whose jobs ended so long ago, and none of whose receipts is here, keeps them elsewhere.
UNSEEN = "No receipt of node {node} comes into {file}: what its jobs take is not learned; share the folder"
UNSEEN_S = 60.0

#: Receipts taken in at one go; so many at once, and there are more to read.
AT_ONCE, BEHIND = 100, 1000
#: Looking for new ones takes at most this share of the time, however many files there are.
LARGEST_SHARE = 0.05
#: A tick spends so much on news of classes that it knows.
TICK_S = 0.005
#: Classes whose estimates are kept.
MOST_KNOWN = 10_000

_decode = msgspec.json.Decoder(Receipt).decode


class Cache(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    v: int = CACHE_VERSION
    folder: str
    #: File → bytes read.
    read: dict[str, int]
    nodes: list[str]
    rings: list[Ring]


class Receipts:
    """The receipt files as far as they were read, and what they taught. Not for several threads."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder = folder
        self._cache = cache
        self._read: dict[str, int] = {}
        self._journal = Journal(folder)
        self._said: dict[str, int] = {}
        self.memory = Memory()
        self._load()
        self.forget()

    def _load(self) -> None:
        try:
            found = msgspec.json.decode(self._cache.read_bytes(), type=Cache)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as e:
            logger.info("{} cannot be read ({}): the receipts are read again", self._cache, e)
            return
        if found.v == CACHE_VERSION and found.folder == str(self._folder):
            self._read, self.memory = found.read, Memory(found.rings)
            self.memory.nodes.update(found.nodes)

    def save(self) -> None:
        """Whole or not at all; samples and offsets are of one moment."""
        rings = list(self.memory.rings())
        cache = Cache(folder=str(self._folder), read=self._read, nodes=sorted(self.memory.nodes), rings=rings)
        draft = self._cache.with_suffix(f".{os.getpid()}.tmp")
        try:
            make_own(self._cache.parent)
            draft.write_bytes(msgspec.json.encode(cache))
            draft.replace(self._cache)
        except OSError as e:
            logger.warning(
                "{} cannot be written ({}): receipts are read again after a restart", self._cache, e
            )
            with contextlib.suppress(OSError):
                draft.unlink()

    def forget(self) -> bool:
        """What the operator said is to be forgotten; False: nothing was said since the last call."""
        said = {file.name: file.stat().st_size for file in self._journal.files()}
        if said == self._said:
            return False
        self._said = said
        self.memory.forget(forgotten(self._journal.notes()))
        return True

    def news(self) -> list[Receipt]:
        """What was added since the last call, a block per file. Raises `OSError` where none can be read."""
        if not self._folder.is_dir():
            return []
        with os.scandir(self._folder) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".jsonl")}
        self._read = {name: at for name, at in self._read.items() if name in sizes}
        found: list[Receipt] = []
        fault: OSError | None = None
        for name in sorted(sizes):
            at = self._read.get(name)
            if at is not None and at > sizes[name]:
                at = self._moved(name, at)
            if at is None or at > sizes[name]:  # new, or another file under an old name
                at = max(0, sizes[name] - TAIL_BYTES)
            try:
                found += self._block(name, at) if at < sizes[name] else []
            except OSError as e:
                fault = e
        if fault is not None and not found:
            raise fault
        return found

    def _moved(self, name: str, at: int) -> int:
        """Where that place is now that what lay before was taken out into an archive."""
        with contextlib.suppress(OSError), (self._folder / name).open("rb") as file:
            parts, begins = header_of(file.fileno())
            if parts:
                return begins + max(0, at - parts[-1].until)
        return at

    def _block(self, name: str, at: int) -> list[Receipt]:
        with (self._folder / name).open("rb") as file:
            file.seek(at)
            block = file.read(BLOCK_BYTES)
        end = block.rfind(b"\n") + 1
        if not end and len(block) == BLOCK_BYTES:
            end = len(block)  # no receipt is so long
        self._read[name] = at + end
        found: list[Receipt] = []
        for line in block[:end].splitlines():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                found.append(_decode(line))  # what is not whole is named by `audit` and `verify`
        return found


def cache_of(state_dir: Path) -> Path:
    return state_dir / "learned.json"


def policy_of(chosen: LearningSettings) -> Policy:
    return Policy(is_on=chosen.is_on, margin=chosen.margin, lower_after=chosen.lower_after)


class Codes(Mapping[str, str]):
    """Task → the version of the code that a worker started now would run; as of the last `renew`."""

    def __init__(self, decls: Mapping[str, TaskDecl]) -> None:
        self._decls = decls
        self._known: dict[str, str] = {}

    def renew(self) -> None:
        self._known = {task: code_version(self._decls[task].module) for task in self._known}

    def __getitem__(self, task: str) -> str:
        if task not in self._known:
            self._known[task] = code_version(self._decls[task].module)
        return self._known[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decls)

    def __len__(self) -> int:
        return len(self._decls)


class NeedsLearner:
    """Of the leader: `teach` is called by its tick, all else happens in a thread. Use as a context
    manager.
    """

    def __init__(self, layout: Layout, policy: Policy, decls: Mapping[str, TaskDecl], limits: Limits) -> None:
        self._limits = limits
        self._codes = Codes(decls)
        self._receipts = Receipts(layout.receipts_dir, cache_of(layout.state_dir))
        self.learned = LearnedNeeds(self._receipts.memory, decls, policy, self._codes)
        #: Class → version of its kind and its code, and what was worked out from them.
        self._known: dict[str, tuple[tuple[int, str], Taught]] = {}
        #: With whom the next tick begins.
        self._turn = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="learning", daemon=True)
        self._unseen = Unseen(layout.receipts_dir)
        self._has_news = False
        #: At the last tick, of some that wait.
        self._are_untried = False
        #: Kinds with news since drift was looked for, and what was said of it.
        self._changed: set[str] = set()
        self._said: set[tuple[str, str, str]] = set()

    def __enter__(self) -> NeedsLearner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        if self._has_news:
            self._say_drift()
            self._receipts.save()

    def teach(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """The candidates with learned needs and durations, cut to what the nodes have. Reads no file."""
        is_on = self.learned.policy.is_on
        if not is_on and all(candidate.job_class.planned is None for candidate in candidates):
            return tuple(candidates)
        if is_on and self._thread.ident is None and not self._stop.is_set():
            self._thread.start()  # who only stands by reads nothing
        with self._lock:
            taught = self._all_taught([candidate.job_class for candidate in candidates])
            self._unseen.look(snapshot, self.learned.memory.nodes)
        self._are_untried = any(t.job_class.is_untried for t in taught)
        free = Free(snapshot, self._limits) if any(t.is_more for t in taught) else None
        return tuple(
            msgspec.structs.replace(candidate, job_class=_cut(candidate.job_class, t, free))
            for candidate, t in zip(candidates, taught, strict=True)
        )

    def duration_s(self, job_class: JobClass) -> float:
        """What a job of this class is expected to take; 0 where nobody knows."""
        with self._lock:
            return self.learned.duration_s(job_class)

    def _all_taught(self, classes: Sequence[JobClass]) -> list[Taught]:
        """What is new at once; where there is news of what is known, so many as a tick has time for, each
        in turn.
        """
        until = time.monotonic() + TICK_S
        first = self._turn if self._turn < len(classes) else 0
        self._turn, found = 0, dict[int, Taught]()
        states: dict[tuple[str, str], tuple[int, str]] = {}
        for i in (*range(first, len(classes)), *range(first)):
            c = classes[i]
            state = states.get((c.kind, c.task))
            if state is None:
                state = (self.learned.memory.version(c.kind or c.task), self.learned.code_of(c.task))
                states[c.kind, c.task] = state
            known = self._known.get(c.id)
            if known is None or (known[0] != state and time.monotonic() < until):
                if len(self._known) > MOST_KNOWN:
                    self._known.clear()
                known = self._known[c.id] = (state, self._marked(self.learned.taught(c)))
            elif known[0] != state and not self._turn:
                self._turn = i
            found[i] = known[1]
        return [found[i] for i in range(len(classes))]

    def _marked(self, taught: Taught) -> Taught:
        c = taught.job_class
        if not c.needs.vram_mib or self.learned.memory.has_success(c.kind or c.task):
            return taught
        return taught._replace(job_class=msgspec.structs.replace(c, is_untried=True))

    # ── the thread ────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        written_at, is_said = time.monotonic(), False
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                is_behind = self.read() >= BEHIND
                every_s = SOON_S if self._are_untried else EVERY_S
                wait_s = 0.0 if is_behind else max(every_s, (time.monotonic() - began) / LARGEST_SHARE)
                is_said = False
            except OSError as e:
                if not is_said:
                    emit_event("receipts.not_read",
                               "Receipts cannot be read ({error}): nothing is learned until they can",
                               error=str(e))  # fmt: skip
                wait_s, is_said = EVERY_S, True
            if self._has_news and time.monotonic() - written_at >= WRITE_EVERY_S:
                self._say_drift()
                self._receipts.save()
                written_at, self._has_news = time.monotonic(), False
            self._stop.wait(wait_s)

    def _say_drift(self) -> None:
        """Once per kind, amount and code, while this conductor runs."""
        for kind in self._changed:
            rings = list(self.learned.memory.rings(kind))
            for drift in drifts(kind, rings, self.learned.code_of(rings[0].task)) if rings else ():
                if (name := (kind, drift.what, drift.code)) not in self._said:
                    self._said.add(name)
                    emit_event("needs.drifted", "{why}", kind=kind, what=drift.what, why=sentence(drift))
        self._changed.clear()

    def read(self) -> int:
        """Take in what was added to the files; how many receipts it was. Raises `OSError`."""
        with self._lock:
            self._receipts.forget()
        receipts = self._receipts.news()
        self._codes.renew()
        for at in range(0, len(receipts), AT_ONCE):
            with self._lock:  # a tick waits for it
                for receipt in receipts[at : at + AT_ONCE]:
                    self.learned.memory.learn(receipt)
                    self._changed.add((receipt.asked and receipt.asked.kind) or receipt.task)
        self._has_news |= bool(receipts)
        return len(receipts)


def _cut(declared: JobClass, taught: Taught, free: Free | None) -> JobClass:
    """With what the nodes can give at most, and a sentence for every amount that is not the declared one."""
    c = taught.job_class
    if free is not None and taught.is_more:
        c = msgspec.structs.replace(c, needs=within(declared, c.needs, free))
    if c.needs == declared.needs:
        return c
    is_less = any(getattr(c.needs, row.name) < getattr(declared.needs, row.name) for row in LEARNED)
    why = "all that others leave there" if declared.planned is not None and is_less else "as receipts teach"
    words = (f"{change}, {why}: `conductor needs {c.task}`" for change in instead(declared.needs, c.needs))
    return msgspec.structs.replace(c, learned=tuple(words))


class Unseen:
    """Says once of each node that its jobs end and none of its receipts comes into the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._going: dict[str, frozenset[str]] = {}
        self._ended_at: dict[str, float] = {}
        self._said: set[str] = set()

    def look(self, snapshot: Snapshot, seen: set[str]) -> None:
        going: dict[str, set[str]] = {}
        for reservation in snapshot.reservations:
            going.setdefault(reservation.node, set()).add(reservation.job_id)
        for node, before in self._going.items():
            if before - going.get(node, set()):
                self._ended_at.setdefault(node, snapshot.now)
        self._going = {node: frozenset(ids) for node, ids in going.items()}
        for node, at in self._ended_at.items():
            if node not in seen and node not in self._said and snapshot.now - at > UNSEEN_S:
                self._said.add(node)
                words = (
                    "No receipt of node {node} comes into {file}: what its jobs take is not learned; "
                    "share the folder"
                )
                emit_event("receipts.unseen", words, node=node, file=str(self._folder))
