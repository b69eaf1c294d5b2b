"""The forecast beside a run: asks for it at the start and now and then, says when it changed, keeps it in the
ledger.

The work is done by a process of its own (`conductor.analysis.forecast.forecast_child`); a thread here waits
for its answers.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec
from loguru import logger

from conductor.adapters.host.processes import spawn
from conductor.analysis.forecast.text import when
from conductor.base.errors import ConductorError, Unreachable
from conductor.base.logs.events import emit_event
from conductor.base.text import many
from conductor.model.decision import Decision
from conductor.model.forecast import Forecast, PredictionReply
from conductor.model.snapshot import Snapshot
from conductor.ports import Ledger

#: A run that is over within this needs no forecast.
PATIENCE_S = 1.0
#: Asked again after so long; while nobody can say yet, sooner; and never more than this share of the time.
EVERY_S, UNKNOWN_EVERY_S, LARGEST_SHARE = 15.0, 3.0, 0.05
#: A process that ended (the kernel took its memory, somebody killed it) is followed by another after so long,
#: and each time after twice as long, up to the second; an answer forgets that.
AGAIN_S, AGAIN_AT_MOST_S = 15.0, 600.0
#: Another end is worth a line where it differs by this share of what is left, and by so much.
NEWS_SHARE, NEWS_S = 0.1, 10.0
#: A run that was broken off and taken up again so soon is the same run.
SAME_RUN_S = 300.0


#: Backlog (empty: all), how much was left, the end that was named.
Foretold = Callable[[str, int, float], None]


class Forecasting:
    """Of the leader: `tick` is called by its loop and returns at once. Use as a context manager."""

    def __init__(
        self,
        project: Path,
        ledger: Ledger,
        backlog: str | None = None,
        note: Foretold = lambda backlog, left, ends_at: None,
    ) -> None:
        """`note`: told once of each run, of the first end that was named."""
        self._project = project
        self._note = note
        self._ledger = ledger
        self._backlog = backlog or ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._begun_at: float | None = None
        self._said_ends_at: float | None = None
        #: The latest one; None before the first.
        self.latest: Forecast | None = None

    def __enter__(self) -> Forecasting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_thread()
        if self._child is not None:
            self._end_child(self._child)

    def _end_thread(self) -> None:
        self._stop.set()
        # The thread may let go of it meanwhile.
        if (child := self._child) is not None:
            child.kill()
        if self._thread is not None:
            self._thread.join()  # one that was just being started is killed by it

    def tick(self, snapshot: Snapshot, decision: Decision) -> None:
        """The first one with something to do begins the run."""
        has_work = bool(decision.admit or decision.hold or snapshot.reservations)
        if self._begun_at is None and has_work and snapshot.nodes:
            self._begun_at = snapshot.now
            self._thread = threading.Thread(target=self._work, name="forecasting", daemon=True)
            self._thread.start()

    def ended(self) -> Forecast | None:
        """Nothing is left: what was said of it, with the real end. None where nothing was said."""
        self._end_thread()  # What it still took in would be kept over the end.
        if (latest := self.latest) is None:
            return None
        self.latest = msgspec.structs.replace(latest, ended_at=self._ledger.bell.now())
        self._keep(self.latest)
        return self.latest

    # ── the thread ────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        wait_s, again_s = PATIENCE_S, AGAIN_S
        while not self._stop.wait(wait_s):
            answer = self._ask(again_s)
            if answer is None:
                wait_s, again_s = again_s, min(again_s * 2, AGAIN_AT_MOST_S)
            else:
                wait_s = max(self._take(answer), answer.wall_s / LARGEST_SHARE)
                again_s = AGAIN_S

    def _ask(self, again_s: float) -> PredictionReply | None:
        """None: the child has ended, and the next question, after so long, begins another."""
        if self._child is None:
            argv = [
                sys.executable,
                "-P",
                "-m",
                "conductor.analysis.forecast.forecast_child",
                *([self._backlog] * bool(self._backlog)),
            ]
            env = {"CONDUCTOR_PROJECT": str(self._project)}
            self._child = spawn(argv, env=env, output=subprocess.PIPE, stdin=subprocess.PIPE)
            if self._stop.is_set():
                self._child.kill()
        child = self._child
        assert child.stdin is not None and child.stdout is not None, "both are pipes"
        try:
            child.stdin.write(b"go\n")
            child.stdin.flush()
        except OSError:
            return self._gone(child, b"", again_s)
        words = b""
        for line in child.stdout:
            if line.startswith(b"{") and line.endswith(b"\n"):  # The answer of one that is killed is cut off.
                return msgspec.json.decode(line, type=PredictionReply)
            words += line
        return self._gone(child, words, again_s)

    def _gone(self, child: subprocess.Popen[bytes], words: bytes, again_s: float) -> None:
        self._end_child(child)
        if not self._stop.is_set():
            self._child = None
            text = words.decode("utf-8", "replace").strip().splitlines()
            emit_event("forecast.stopped", "No forecast for {seconds:g} s: its process ended ({error})",
                       seconds=again_s, error=text[-1] if text else "it said nothing")  # fmt: skip

    @staticmethod
    def _end_child(child: subprocess.Popen[bytes]) -> None:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _take(self, answer: PredictionReply) -> float:
        """Keep what was found; seconds until the next question."""
        found = answer.prediction
        if found is None:
            logger.debug("No forecast: {}", answer.error)
            return EVERY_S
        if found.left == 0:
            return EVERY_S
        before = self.latest or self._taken_up(answer)
        self.latest = self._next(before, answer)
        self._keep(self.latest)
        if found.ends_at is None:
            return UNKNOWN_EVERY_S
        self._say(self.latest, found.left)
        return EVERY_S

    def _next(self, before: Forecast | None, answer: PredictionReply) -> Forecast:
        found = answer.prediction
        assert found is not None and self._begun_at is not None, "asked by a run that has begun"
        first = before
        if first is None or first.first_ends_at is None:
            if found.ends_at is not None:
                self._note_first(found.left, found.ends_at)
            first = Forecast(
                backlog=self._backlog,
                begun_at=self._begun_at if first is None else first.begun_at,
                first_made_at=found.made_at,
                first_ends_at=found.ends_at,
                first_left=found.left,
                first_known=answer.known,
                made_at=found.made_at,
            )
        return msgspec.structs.replace(
            first,
            made_at=found.made_at,
            ends_at=found.ends_at,
            not_before=found.not_before,
            because=found.because,
            is_rough=found.is_rough,
            left_out=found.left_out,
        )

    def _note_first(self, left: int, ends_at: float) -> None:
        try:
            self._note(self._backlog, left, ends_at)
        except ConductorError as e:
            logger.debug("The first forecast is not noted: {}", e)

    def _taken_up(self, answer: PredictionReply) -> Forecast | None:
        """A conductor before this one said something of the same run."""
        try:
            kept = [f for f in self._ledger.forecasts.forecasts() if f.backlog == self._backlog]
        except Unreachable:
            return None
        found = answer.prediction
        for forecast in kept:
            is_same = forecast.ended_at is None and forecast.first_known == answer.known
            if is_same and found is not None and found.made_at - forecast.made_at < SAME_RUN_S:
                return forecast
        return None

    def _keep(self, forecast: Forecast) -> None:
        try:
            self._ledger.forecasts.expect(forecast)
        except Unreachable as e:
            logger.debug("The forecast is not kept: {}", e)

    def _say(self, forecast: Forecast, left: int) -> None:
        ends_at, said = forecast.ends_at, self._said_ends_at
        assert ends_at is not None, "only an end is said"
        rest = ends_at - forecast.made_at
        if said is not None and abs(ends_at - said) < max(NEWS_S, NEWS_SHARE * rest):
            return
        self._said_ends_at = ends_at
        word = "Done" if said is None else "Now done"
        ends = when(forecast, forecast.made_at)
        emit_event("forecast.made", "{} {}: {} left", word, ends, many(left, "job"), left=left,
                   seconds=round(rest, 1))  # fmt: skip
