"""Published files are read back while the run goes on, so that `verify` has little left to read at its end.

What was read is noted with the state that the file was in (`STATE_DIR/read_back.db`, which may be deleted at
any time): a file in that state has that content. This can be relied on since whatever writes to a file gives
it another time of change, which nobody can set. Where that does not hold nothing is noted:

- A file is read when it has stood in one state for `SETTLE_S`. By then the clock that stamps it has gone on,
  whoever's clock that is, and however coarse: a later write does not get the same time again.
- Not every file system has such a time (`adapters/host/change_times.py`).
- Notes end with the boot: a power cut may leave the content of a write on a disk without its time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import msgspec
from loguru import logger

from conductor.adapters.files.hash_cache import HashTable
from conductor.adapters.files.receipt_follower import ReceiptFollower
from conductor.adapters.host import host_probe
from conductor.adapters.host.background_reader import BackgroundReader
from conductor.adapters.host.change_times import stamps_changes
from conductor.base.errors import BadInput
from conductor.base.files.fingerprint import FileState
from conductor.base.files.layout import Layout
from conductor.base.files.paths import root_folder, split
from conductor.base.logs.events import emit_event
from conductor.base.text import many
from conductor.model.receipt import OutputFact
from conductor.model.subject import file_name, named
from conductor.record.receipts import record_of
from conductor.verify.file_facts import NOTED_BYTES
from conductor.verify.read_back_progress import ReadBackProgress, write_progress

FILE = "read_back.db"
SETTLE_S = 2.0
#: A file that does not settle is left to `verify`.
MOST_TRIES = 30
#: A run that is over within this has nothing read back; then receipts are looked at so often.
PATIENCE_S, LOOK_S = 2.0, 1.0
#: What was read is told when nothing is left to read, and the work is over or so long ago it was told last.
WORD_S = 600.0
#: The reader's process goes when nothing was published for so long.
REST_S = 60.0
#: Of each file of receipts so much is gone through at the beginning, as far as it is no older than that: what
#: came while no conductor led.
TAIL_BYTES, TAIL_S = 1 << 20, 86_400.0
#: So many files wait to be read; of more, the oldest are left to `verify`.
MOST_DUE = 100_000
#: A receipt that names a file has it.
_NAMES_A_FILE = b'"sha256":"'


class _Line(msgspec.Struct, frozen=True):
    """Of a receipt what is asked here."""

    job_id: str
    task: str
    outcome: str
    ended_at: float
    outputs: tuple[OutputFact, ...] = ()


class Published(NamedTuple):
    fact: OutputFact
    file: Path
    job_id: str
    task: str


class Due(NamedTuple):
    what: Published
    #: In which it has stood since then; monotonic seconds.
    state: FileState
    since: float
    tries: int


def notes_of(state_dir: Path) -> HashTable:
    """What was read back on this host since it started."""
    return HashTable(state_dir / FILE, host_probe.boot_id())


class ReadBack:
    """Of the leader: `tick` is called by its loop and returns at once. Use as a context manager."""

    def __init__(
        self,
        layout: Layout,
        reader: BackgroundReader | None = None,
        clock: Callable[[], float] = time.monotonic,
        stamps: Callable[[int], bool] = stamps_changes,
    ) -> None:
        self._layout = layout
        self._notes = notes_of(layout.state_dir)
        self._follower = ReceiptFollower(layout.receipts_dir, TAIL_BYTES)
        self._reader = BackgroundReader() if reader is None else reader
        self._clock = clock
        self._stamps = stamps
        self._due: deque[Due] = deque(maxlen=MOST_DUE)
        self._news, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._had_work = False
        self._files, self._told_at = 0, clock()
        self._progress = self._written = ReadBackProgress(since=time.time())

    def __enter__(self) -> ReadBack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """At once: what is not read yet is left to `verify`."""
        self._stop.set()
        self._news.set()
        self._reader.stop()
        if self._thread is None:
            self._reader.rest()
        else:
            self._thread.join(LOOK_S)  # Not for ever: it may wait for a file of a dead NAS.

    def tick(self, has_work: bool) -> None:
        """`has_work`: attempts are in hand. Also when the last ones are not any more."""
        if has_work or self._had_work:
            self._news.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="read-back", daemon=True)
                self._thread.start()
        self._had_work = has_work

    # ── the thread ────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        wait_s = PATIENCE_S
        while not self._stop.wait(wait_s):
            wait_s = LOOK_S
            try:
                is_left = self.turn()
            except OSError as e:
                is_left = bool(self._due)
                logger.debug("Nothing is read back now: {}", e)
            self.say()
            if not is_left and not self._news.wait(REST_S):
                self._reader.rest()
                self._news.wait()
            self._news.clear()
        self._reader.rest()

    def turn(self) -> bool:
        """Once: look for news, and read what has settled. → something is left to read. Raises `OSError`."""
        self._look()
        until = self._clock() + LOOK_S
        while self._due and self._clock() < until and not self._stop.is_set():
            if self._due[0].since + SETTLE_S > self._clock():
                break
            self._read(self._due.popleft())
        self._keep_progress()
        return bool(self._due)

    def _keep_progress(self) -> None:
        """For who asks how far it is. Raises `OSError`."""
        progress = msgspec.structs.replace(self._progress, left=len(self._due))
        if progress != self._written:
            write_progress(self._layout.state_dir, progress)
            self._written = progress

    def say(self) -> None:
        """What was read and is as it was published."""
        if self._files and not self._due and not (self._had_work and self._clock() < self._told_at + WORD_S):
            emit_event(
                "output.read_back",
                "Read back {}: as published",
                many(self._files, "published file"),
                files=self._files,
            )
            self._files, self._told_at = 0, self._clock()

    def _look(self) -> None:
        for line in self._follower.news():
            if _NAMES_A_FILE not in line:
                continue
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                receipt = _decode(line)
                if receipt.outcome == "ok" and receipt.ended_at > time.time() - TAIL_S:
                    for fact in receipt.outputs:
                        self._take(fact, receipt)

    def _take(self, fact: OutputFact, receipt: _Line) -> None:
        try:
            root, relative = split(fact.path)
            file = root_folder(self._layout, root) / relative
        except BadInput:
            return
        self._see(Published(fact, file, receipt.job_id, receipt.task), tries=0)

    def _see(self, what: Published, tries: int) -> None:
        """One that is not there may lie on another host's disk, or was removed when all had read it."""
        state = self._reader.state(what.file)
        if state is None or tries > MOST_TRIES or self._notes.known(what.file, state) == what.fact.sha256:
            return
        self._due.append(Due(what, state, self._clock(), tries))

    def _read(self, due: Due) -> None:
        what = due.what
        found = self._reader.sha256(what.file, due.state)
        if self._stop.is_set():
            return
        if found is None:
            self._see(what, due.tries + 1)
        elif found != what.fact.sha256:
            self._tell(what, found)
        else:
            self._files += 1
            self._progress = msgspec.structs.replace(self._progress, files=self._progress.files + 1)
            if due.state.size >= NOTED_BYTES and self._stamps(due.state.device):
                self._notes.note(what.file, due.state, found)

    def _tell(self, what: Published, found: str) -> None:
        """Unless the job was made again: then it is what another receipt says, or will be."""
        if is_altered(self._layout.receipts_dir, what, found):
            self._progress = msgspec.structs.replace(self._progress, altered=self._progress.altered + 1)
            emit_event(
                "output.altered",
                "{file} of {about} is not what was published: conductor verify says more",
                file=what.fact.path,
                about=named(what.task, file_name(what.fact.path)),
                job_id=what.job_id,
                task=what.task,
            )


def is_altered(receipts_dir: Path, what: Published, found: str) -> bool:
    """What was published still counts, and no receipt of the job ever named the content that was found."""
    record = record_of(receipts_dir, what.job_id)
    said = [(fact.path, fact.sha256) for ok in record.oks for fact in ok.outputs]
    counts = record.accepted is not None and what.fact in record.accepted.outputs
    return counts and (what.fact.path, found) not in said


_decode = msgspec.json.Decoder(_Line).decode
