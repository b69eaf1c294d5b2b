"""The attempts one worker has started, on their way: begun in order, ended one by one, handed in together.

A long job goes alone. Of short ones several are started in one step of the ledger, lie ready in the child, share an
fsync of their receipts and are accepted in the step that starts the next ones.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from loguru import logger

from conductor.core.tally import COUNTS
from conductor.model.entries import Begun, Lined, Started, Turn, Turned
from conductor.model.receipt import MOST_UNHEARD, Receipt
from workers import causes, kept
from workers.attempt import Attempt, Refused
from workers.body import Course
from workers.causes import Fault
from workers.host import ChildBroken
from workers.pace import TOGETHER_S, Paces
from workers.protocol import Ended
from workers.runner import Done, Parts, Runner

#: What is done is handed in after so long at the latest, while others go on.
FLUSH_S = 0.04
#: So much is to be left when a worker has its turn: the next are there before the child has run dry. Not for less than
#: half of that, so that many share a turn.
AHEAD_S = 0.05
#: A body that takes longer was none of the short ones: what waits behind it goes back, for others to take.
LONG_S = 0.1
#: While an heir is lined up it is looked so often whether it may still begin: new code, lost lease.
LOOK_S = 1.0
#: Given to the child ahead of time.
WINDOW = 32

#: How an attempt ended; None: it was not this worker's turn (any more).
OnEnd = Callable[[Receipt], None]


class Flow:
    """One worker's. `run` returns when all that it started has ended and the queue gave no more."""

    def __init__(self, parts: Parts, queue: str = "", on_end: OnEnd = lambda receipt: None) -> None:
        """`queue`: taken from as long as jobs are short; empty: nothing but what `run` is given."""
        self._parts = parts
        self._queue = queue
        self._on_end = on_end
        self._runner = Runner(parts, self._stop_follower)
        self._course = Course(parts.host, parts.stopping)
        self._paces = Paces()
        self._waiting: deque[Attempt] = deque()
        self._done: list[Done] = []
        self._done_at = 0.0
        self._has_failed = False
        #: Lined up, and will not begin: the ledger is to be told.
        self._not_begun: list[Begun] = []
        self._numbers = (f"{parts.worker}:{n}" for n in itertools.count(1))

    def run(self, in_hand: Sequence[tuple[str, int]]) -> None:
        """`in_hand`: (job id, attempt) of the entries that were taken from the queue."""
        with self._parts.claim.busy():
            self._turn(in_hand)
            self._go_on()

    def idle_turn(self) -> Turn:
        """For `Intake.take`: the turn behind the entry that wakes this worker."""
        return self._a_turn(is_from_hand=True)

    def run_taken(self, turned: Turned, asked_at: float) -> None:
        """What came of that turn. `asked_at`: (monotonic) its leases have begun since then."""
        with self._parts.claim.busy():
            self._start(turned, asked_at)
            # Told to leave while it waited: what came all the same goes back unbegun.
            self._reconsider()
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting or self._course or self._done:
            self._feed()
            self._listen()
            self._line_up()
            self._reconsider()
            if self._is_turn_due():
                self._turn()

    # ── through the child ─────────────────────────────────────────────────────────────────────────────────

    def _feed(self) -> None:
        while self._waiting and self._course.can_take and len(self._course) < WINDOW:
            attempt = self._waiting[0]
            if self._course and self._has_to_wait(attempt):
                return
            self._waiting.popleft()
            if (end := self._before(attempt)) is not None:
                self._ended(attempt, end)
            else:
                self._give(attempt)

    def _has_to_wait(self, attempt: Attempt) -> bool:
        """Until the child is idle: it has to be replaced, or bodies left something behind."""
        return self._parts.host.is_due(attempt.devices)

    def _before(self, attempt: Attempt) -> Ended | Fault | None:
        """How it ends without a body."""
        if attempt.held.verdict == "cancel":
            return causes.CANCELLED
        if attempt.held.verdict == "gone" or self._parts.stopping.is_urgent:
            return Fault("worker_lost", "the attempt was taken from its worker before it began")
        if (fault := self._runner.closed_rate(attempt)) is not None:
            return fault
        settings, spec = self._parts.settings, attempt.spec
        attempt.earlier = earlier = kept.find(settings, spec, attempt.number)
        kept.clean_before(settings, spec, attempt.number, earlier)
        if earlier is None:
            return None
        return Ended(job_id=attempt.job_id, attempt=attempt.number, result=earlier.result)

    def _give(self, attempt: Attempt) -> None:
        try:
            if not self._course:
                self._course.ensure(attempt.devices)
            self._claim(attempt)
            self._course.give(attempt)
            # Noted once the body has begun, before anybody can have changed it.
            _ = attempt.code_version
        except ChildBroken as e:
            self._wait_again()
            self._ended(attempt, Fault("worker_lost", causes.cut(str(e))))

    def _claim(self, attempt: Attempt) -> None:
        self._parts.claim.take(attempt.job_id, attempt.number, attempt.reserved, self._parts.host.pid)

    def _listen(self) -> None:
        if not self._course:
            return
        end = self._course.wait(self._patience_s(), self._nap_s())
        if end is not None:
            self._ended(*end)
        if not self._course:
            self._wait_again()
            self._parts.host.tidy()

    def _wait_again(self) -> None:
        """What did not begin begins later; an heir only if it is named again."""
        self._waiting.extendleft(reversed(self._back()))

    def _back(self) -> list[Attempt]:
        """Taken back from the child, less what was only lined up."""
        back = self._course.take_back()
        if back and (running := self._course.running) is not None:
            running.held.behind = {}
        self._not_begun += [attempt.behind for attempt in back if attempt.behind is not None]
        return [attempt for attempt in back if attempt.behind is None]

    def _patience_s(self) -> float | None:
        now = time.monotonic()
        limits: list[float] = []
        if self._done:
            limits.append(self._done_at + FLUSH_S - now)
        if self._course.heir is not None:
            limits.append(LOOK_S)
        elif self._waiting or len(self._course) > 1:
            limits.append(self._course.began_at + LONG_S - now)
        return max(0.0, min(limits)) if limits else None

    def _ended(self, attempt: Attempt, said: Ended | Fault) -> None:
        if isinstance(said, Ended):
            if said.began_at is not None:
                attempt.began_at, attempt.left_running = said.began_at, said.left_running
            if said.files is not None:
                self._parts.host.watch(said.files, attempt.began_at)
            elif said.began_at is not None:
                # One that had to import its modules says nothing of the next.
                self._paces.saw(attempt.spec.task, said.seconds)
        if (follower := self._course.follower) is not None:
            self._claim(follower)
        ended = self._runner.conclude(attempt, said)
        if isinstance(said, Ended):
            self._parts.host.weigh(said, attempt.held.meter.vram_now_mib)
            if said.warm is not None:
                self._parts.claim.keeps(said.warm)
        if isinstance(ended, Done):
            if not self._done:
                self._done_at = time.monotonic() - _late_s(said)
            self._done.append(ended)
            return
        self._parts.keeper.release(attempt.held)
        if ended is not None:
            self._has_failed |= COUNTS[ended.cause or "task_error"].when == "always"
            self._on_end(ended)

    # ── with the ledger ───────────────────────────────────────────────────────────────────────────────────

    def _reconsider(self) -> None:
        """The one that runs is not short after all, or this worker is to leave: others may have the rest.

        After a failure too: the next ones may fail alike, and the conductor says how many more of them are to try."""
        is_long = bool(self._course) and time.monotonic() >= self._course.began_at + LONG_S
        is_over = is_long or self._has_failed or self._parts.stopping.is_asked
        heir = self._course.heir
        if heir is not None and (self._has_failed or self._parts.stopping.is_asked or self._is_doubtful(heir)):
            self._back()
        self._has_failed = False
        if self._not_begun and self._course:
            self._turn()
        if self._course.heir is None and is_over and (self._waiting or len(self._course) > 1):
            back = [*self._back(), *self._waiting]
            self._waiting.clear()
            if is_long and (running := self._course.running) is not None:
                self._paces.saw(running.spec.task, LONG_S)
            self._turn(returned=back)
            for attempt in back:
                self._parts.keeper.release(attempt.held)

    def _is_turn_due(self) -> bool:
        if not self._done:
            return False
        if (not self._waiting and not self._course) or len(self._done) >= MOST_UNHEARD:
            return True
        if self._course.follower is not None:
            return True
        if self._course.has_more:
            return False  # More have ended by now.
        is_dry = (self._left_s() or 0.0) <= AHEAD_S
        return time.monotonic() >= self._done_at + (AHEAD_S / 2 if is_dry else FLUSH_S)

    def _left_s(self) -> float | None:
        """What was begun should take so long; None: not known."""
        paces = [self._paces.of(attempt.spec.task) for attempt in (*self._waiting, *self._course.all())]
        return None if None in paces else sum(pace or 0.0 for pace in paces)

    def _nap_s(self) -> float:
        """So long nobody need look: short bodies follow each other in the child, and are handed in together."""
        left_s = self._left_s()
        if left_s is None or len(self._course) < 2 or self._course.heir is not None:
            return 0.0
        first_s = self._done_at - time.monotonic() if self._done else left_s / (len(self._waiting) + len(self._course))
        return max(0.0, min(first_s + FLUSH_S, left_s - AHEAD_S))

    def _turn(self, in_hand: Sequence[tuple[str, int]] = (), returned: Iterable[Attempt] = ()) -> None:
        """Receipts to disk first: from then on the results count, whoever is killed."""
        done, self._done = self._runner.written(self._done), []
        asked_at = time.monotonic()
        turn = self._a_turn(
            done=tuple(each.receipt for each in done),
            returned=tuple((attempt.job_id, attempt.number) for attempt in returned),
            in_hand=tuple(in_hand),
            begun=self._begun(),
            not_begun=tuple(self._not_begun),
        )
        self._not_begun.clear()
        turned = self._ask(turn)
        self._start(turned or Turned(), asked_at)
        # The next body begins before what is left to do for those that are over.
        self._feed()
        self._course.refresh()
        self._runner.handed_in(done, turned.answers if turned else (None,) * len(done))
        for each in done:
            self._parts.keeper.release(each.attempt.held)
            self._on_end(each.receipt)

    def _a_turn(self, **what: Any) -> Turn:
        most, budget_s = self._room()
        return Turn(
            worker=self._parts.worker,
            queue=self._queue,
            lease_s=self._parts.settings.timing.lease_s,
            number=next(self._numbers),
            most=most,
            budget_s=budget_s,
            paces=self._paces.short(),
            is_idle=not self._waiting and not self._course,
            news=self._paces.news(),
            **what,
        )

    def _room(self) -> tuple[int, float]:
        """How many more to take, and for how long; nothing beside a job that is not known to be short."""
        if not self._queue or self._parts.stopping.is_asked or self._course.heir is not None:
            return 0, 0.0
        left_s = TOGETHER_S
        for attempt in itertools.chain(self._waiting, self._course.all()):
            pace = self._paces.of(attempt.spec.task)
            left_s -= TOGETHER_S if pace is None else pace
        most = MOST_UNHEARD - len(self._waiting) - len(self._course)
        return (most, left_s) if left_s > 0 and most > 0 else (0, 0.0)

    def _start(self, turned: Turned, asked_at: float) -> None:
        for started in turned.started:
            self._begin(started, asked_at)
        for job_id, number in turned.over:
            logger.info("Not started: {} attempt {}: it is over, or another attempt has its place", job_id, number)

    def _ask(self, turn: Turn) -> Turned | None:
        """One that began and may not run is ended first: until then its predecessor's place is not given up."""
        turned = self._runner.patiently(lambda: self._parts.ledger.attempts.turn(turn))
        if turned is None or turned.refused:
            self._stop_follower()
        if turned is None or not turned.refused:
            return turned
        again = msgspec.structs.replace(turn, number=next(self._numbers), begun=())
        return self._runner.patiently(lambda: self._parts.ledger.attempts.turn(again))

    def _begin(self, started: Started, asked_at: float) -> None:
        parts = self._parts
        valid_until = asked_at + parts.settings.timing.lease_s
        follower, held = self._course.follower, started.reservation
        if follower is not None and (follower.job_id, follower.number) == (held.job_id, held.attempt):
            follower.is_started(started, valid_until)
            parts.keeper.hold(follower.held)
            return
        try:
            attempt = Attempt(started, parts.catalogue, parts.settings, valid_until)
        except Refused as e:
            self._on_end(self._runner.refuse(started, e))
            return
        parts.keeper.hold(attempt.held)
        self._waiting.append(attempt)

    # ── lined up ──────────────────────────────────────────────────────────────────────────────────────────

    def _line_up(self) -> None:
        """Who goes next where the one that runs ends well lies ready in the child: it begins before anyone is asked."""
        while self._parts.lining is not None and (word := self._parts.lining.next()) is not None:
            running = self._course.running
            if running is None or (running.job_id, running.number) != (word.predecessor, word.of_attempt):
                continue  # The end of that one ended this too.
            if word.heir is None:
                heir = self._course.heir
                if heir is not None and (heir.job_id, heir.number) == (word.job_id, word.attempt):
                    self._back()
            elif not self._is_lined_up(running, word, word.heir):
                self._not_begun.append(begun_of(word))

    def _is_lined_up(self, running: Attempt, word: Lined, heir: Started) -> bool:
        """False: it cannot just follow here. Then it goes the usual way, or to another worker."""
        course, parts = self._course, self._parts
        if self._waiting or len(course) != 1 or not course.can_take or parts.stopping.is_asked:
            return False
        try:
            attempt = Attempt(heir, parts.catalogue, parts.settings, running.held.valid_until)
        except Refused:
            return False
        attempt.behind, attempt.as_of = begun_of(word), self._heard_of(running)
        if running.behind is not None or running.held.verdict is not None or self._is_doubtful(attempt):
            return False
        if kept.find(parts.settings, attempt.spec, attempt.number) is not None:
            return False
        kept.clean_before(parts.settings, attempt.spec, attempt.number)
        _ = attempt.code_version  # As it is now: that is what the child will run.
        running.held.behind = heir.reservation.disk
        try:
            course.give(attempt)
        except ChildBroken:
            return False  # Met by who listens to the child.
        return True

    def _is_doubtful(self, heir: Attempt) -> bool:
        """Not by this child, or not any more: the one that runs may have lost its place, or the ledger its claim."""
        running = self._course.running
        if running is None:
            return self._has_to_wait(heir)
        has_forgotten = bool(running.held.behind) and heir.as_of != self._heard_of(running)
        return has_forgotten or time.monotonic() >= running.held.valid_until or self._has_to_wait(heir)

    def _heard_of(self, running: Attempt) -> tuple[int, int]:
        return running.held.adopted, self._parts.lining.breaks if self._parts.lining else 0

    def _begun(self) -> tuple[Begun, ...]:
        follower = self._course.follower
        return () if follower is None or follower.behind is None else (follower.behind,)

    def _stop_follower(self) -> None:
        """It began behind one that did not end well after all, or the ledger gave its place to another: it was none."""
        follower = self._course.follower
        if follower is None:
            return
        follower.held.verdict = "gone"
        while self._course.follower is follower:
            end = self._course.wait(None)
            if end is not None:
                self._runner.conclude(*end)
        self._back()


def begun_of(word: Lined) -> Begun:
    return Begun(predecessor=word.predecessor, of_attempt=word.of_attempt, job_id=word.job_id, attempt=word.attempt)


def _late_s(said: Ended | Fault) -> float:
    """How long ago a body ended."""
    if not isinstance(said, Ended) or said.began_at is None:
        return 0.0
    return min(FLUSH_S, max(0.0, time.time() - said.began_at - said.seconds))
