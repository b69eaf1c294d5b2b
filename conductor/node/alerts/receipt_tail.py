"""What receipts tell of the last hour: attempts that failed or fell back to the CPU, lines that are cut.

The files are followed from near their ends: what was written before the node began counts as far as it is of
the last hour. Read by one thread.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from conductor.model.causes import Cause
from conductor.model.receipt import Outcome, body_of
from conductor.model.told_result import fallbacks_of

HOUR_S = 3600.0
#: Of each file so much is read at the beginning, and at each look.
BEGIN_BYTES, MOST_BYTES = 1 << 20, 8 << 20
MOST_ROWS = 20_000
#: An `ok` that is taken back is so within moments.
SETTLES_S = 60.0


class ReceiptFacts(msgspec.Struct, frozen=True):
    """Of a receipt what is counted here; the rest of the line is passed over."""

    job_id: str
    attempt: int
    task: str
    outcome: Outcome
    ended_at: float
    token: str = ""
    cause: Cause | None = None
    is_free: bool = False
    devices: tuple[str, ...] = ()
    result: dict[str, Any] = {}

    @property
    def has_fallen_back(self) -> bool:
        return bool(fallbacks_of(self.result, self.devices))

    @property
    def is_by_preferred(self) -> bool | None:
        """By the engine that it would rather have had, as it says of itself; None: it had no choice."""
        used, preferred = self.result.get("engine"), self.result.get("preferred_engine")
        return used == preferred if isinstance(used, str) and isinstance(preferred, str) else None


class Fault(NamedTuple):
    at: float
    words: str


_decoder = msgspec.json.Decoder(ReceiptFacts)


class ReceiptTail:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_to: dict[Path, int] = {}
        self._failed: deque[tuple[float, str]] = deque(maxlen=MOST_ROWS)
        self._fallbacks: deque[tuple[float, str]] = deque(maxlen=MOST_ROWS)
        self._engines: deque[tuple[float, str]] = deque(maxlen=MOST_ROWS)
        self._engine_fallbacks: deque[tuple[float, str]] = deque(maxlen=MOST_ROWS)
        self._cut: deque[Fault] = deque(maxlen=100)
        #: Job → bodies whose `ok` stands, and when the last came.
        self._oks: OrderedDict[str, tuple[frozenset[str], float]] = OrderedDict()

    def look(self, now: float) -> None:
        """Read on. `now`: epoch seconds. What cannot be read is read the next time."""
        for file in sorted(self._folder.glob("*.jsonl")) if self._folder.is_dir() else ():
            try:
                lines = self._lines(file, now)
            except OSError:
                continue
            for line in lines:
                self._take(file, line, now)

    def _lines(self, file: Path, now: float) -> list[bytes]:
        there = file.stat()
        size, begins = there.st_size, self._read_to.get(file)
        is_new = begins is None
        if begins is None:
            begins = max(0, size - BEGIN_BYTES)
        if size < begins or (is_new and there.st_mtime < now - HOUR_S):
            # Put into an archive, or mended: what is there was seen. Or nothing of it is of the last hour.
            self._read_to[file] = size
            return []
        with file.open("rb") as opened:
            opened.seek(begins)
            text = opened.read(MOST_BYTES)
        whole = text[: text.rfind(b"\n") + 1]
        self._read_to[file] = begins + len(whole)
        lines = whole.splitlines()
        # Where it was begun in the middle the first line is the rest of one.
        return lines[1:] if is_new and begins else lines

    def _take(self, file: Path, line: bytes, now: float) -> None:
        if not line.strip():
            return
        try:
            receipt = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._cut.append(Fault(now, f"{file.name} has a line that is no whole receipt"))
            return
        if receipt.ended_at < now - HOUR_S:
            return
        if receipt.outcome in ("review", "verdict"):
            return  # A person's matter: the verdict comes with a line of its own.
        if receipt.outcome == "failed":
            if not receipt.is_free:
                self._failed.append((receipt.ended_at, receipt.cause or "unknown"))
        else:
            self._note_ok(receipt, now)
            if receipt.outcome == "ok" and receipt.has_fallen_back:
                self._fallbacks.append((receipt.ended_at, receipt.task))
            if receipt.outcome == "ok" and (is_preferred := receipt.is_by_preferred) is not None:
                self._engines.append((receipt.ended_at, receipt.task))
                if not is_preferred:
                    self._engine_fallbacks.append((receipt.ended_at, receipt.task))

    def _note_ok(self, receipt: ReceiptFacts, now: float) -> None:
        body = frozenset({body_of(receipt.attempt, receipt.token)})
        bodies, _ = self._oks.pop(receipt.job_id, (frozenset[str](), 0.0))
        bodies = bodies | body if receipt.outcome == "ok" else bodies - body
        self._oks[receipt.job_id] = bodies, now
        if len(self._oks) > MOST_ROWS:
            self._oks.popitem(last=False)

    def failed(self, now: float) -> dict[str, int]:
        """Cause → attempts of the last hour that failed by it, those that cost no try left out."""
        return _counts(self._failed, now)

    def fallbacks(self, now: float) -> dict[str, int]:
        """Task → attempts of the last hour."""
        return _counts(self._fallbacks, now)

    def engines(self, now: float) -> dict[str, tuple[int, int]]:
        """Task → its jobs of the last hour that had a choice of engines: those by a less preferred one, and
        all."""
        fallen = _counts(self._engine_fallbacks, now)
        return {task: (fallen.get(task, 0), made) for task, made in _counts(self._engines, now).items()}

    def faults(self, now: float) -> tuple[str, ...]:
        """What is wrong with receipts of the last hour."""
        cut = dict.fromkeys(fault.words for fault in self._cut if fault.at > now - HOUR_S)
        twice = (
            f"{job_id} has {len(bodies)} receipts that count"
            for job_id, (bodies, at) in self._oks.items()
            if len(bodies) > 1 and now - HOUR_S < at < now - SETTLES_S
        )
        return (*cut, *twice)


def _counts(rows: deque[tuple[float, str]], now: float) -> dict[str, int]:
    return dict(Counter(name for at, name in rows if at > now - HOUR_S))
